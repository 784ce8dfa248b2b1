#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace millrace::kv {

/// What a pipeline asks for next.
struct Ahead {
  std::size_t commands = 0;  ///< that were looked at
  std::size_t keys = 0;      ///< their first arguments
};

/// The keys of the commands that lie whole in `buffer`, which begins with one, until `keys` is full. It stops
/// at the first that is not an array of short arguments, as RespParser would take it: what it finds is a hint
/// of what to fetch from memory, and no more.
[[nodiscard]] Ahead look_ahead(std::string_view buffer, std::span<std::string_view> keys);

}  // namespace millrace::kv
