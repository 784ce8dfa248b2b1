#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "command.h"

namespace millrace::kv {

/// How a time is given: EX 10, PX 10000, EXAT 1700000000, PXAT 1700000000000.
struct ExpiryUnit {
  bool seconds = true;
  bool relative = true;
  bool operator==(const ExpiryUnit&) const = default;
};

std::optional<ExpiryUnit> expiry_unit(std::string_view word);

/// For SET and its kin: the Unix time in ms that the text means. Nothing: it has been answered that it is no
/// number, or not in the future's range.
std::optional<std::int64_t> parse_expiry(Call& call, std::string_view text, ExpiryUnit unit);

void reply_invalid_expiry(Call& call);

}  // namespace millrace::kv
