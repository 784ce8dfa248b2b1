#pragma once

#include <string_view>
#include <vector>

#include "value.h"

namespace millrace::kv {

/// One word of a command. A long one was received into memory of its own, which the table can keep; the
/// others lie in the receive buffer until the command is done.
struct Argument {
  std::string_view text;
  ValueRef value;  ///< null, or what `text` lies in

  /// For the table: without a copy where that is possible.
  [[nodiscard]] ValueRef take() const { return value ? value : Value::copy_of(text); }
};

using Arguments = std::vector<Argument>;

}  // namespace millrace::kv
