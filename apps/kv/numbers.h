#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::kv {

/// A decimal number as Redis takes one: no sign but '-', no leading zeros, no spaces.
std::optional<std::int64_t> parse_integer(std::string_view text);

/// As strtold takes one, all of it, without spaces before it; infinities, but no NaN.
std::optional<long double> parse_float(std::string_view text);

/// 17 digits after the point, without the zeros at their end.
std::string format_float(long double number);

/// "100mb": k, m, g are powers of 1000, kb, mb, gb of 1024.
std::optional<std::uint64_t> parse_memory(std::string_view text);

/// The text of an integer, without an allocation.
class IntegerText {
 public:
  explicit IntegerText(std::int64_t number);
  [[nodiscard]] std::string_view text() const { return {digits_.data(), size_}; }

 private:
  std::array<char, 20> digits_;
  std::size_t size_;
};

/// As strcmp.
int compare_ignoring_case(std::string_view a, std::string_view b);
bool same_ignoring_case(std::string_view a, std::string_view b);
std::string lower_case(std::string_view text);

}  // namespace millrace::kv
