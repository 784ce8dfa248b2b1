#pragma once

#include <cstdint>
#include <string_view>

namespace millrace::kv {

enum class Case : std::uint8_t { kMatters, kIgnored };

/// Whether the text matches the pattern: * any bytes, ? one, [a-z] and [^a-z] one of a set, \x the byte x. A
/// set that nobody closes ends with the pattern. Takes at most |pattern| × |text| steps.
bool matches(std::string_view pattern, std::string_view text, Case letters = Case::kMatters);

}  // namespace millrace::kv
