#include "numbers.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace millrace::kv {

namespace {

constexpr std::size_t kMostDigits = 19;
constexpr std::size_t kLongestFloat = 5 * 1024;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) {
  const bool negative = !text.empty() && text[0] == '-';
  const std::string_view digits = text.substr(negative ? 1 : 0);
  if (digits.empty() || digits.size() > kMostDigits) return std::nullopt;
  if (digits[0] == '0') return text == "0" ? std::optional<std::int64_t>(0) : std::nullopt;
  std::uint64_t number = 0;
  for (const char c : digits) {
    const auto digit = static_cast<unsigned>(c) - unsigned{'0'};
    if (digit > 9) return std::nullopt;
    number = number * 10 + digit;
  }
  // Nineteen digits do not overflow what has no sign.
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (number > kMax + (negative ? 1 : 0)) return std::nullopt;
  return static_cast<std::int64_t>(negative ? 0 - number : number);
}

std::optional<long double> parse_float(std::string_view text) {
  if (text.empty() || text.size() >= kLongestFloat) return std::nullopt;
  if (std::isspace(static_cast<unsigned char>(text[0])) != 0) return std::nullopt;
  const std::string copy(text);
  char* end = nullptr;
  errno = 0;
  const long double number = std::strtold(copy.c_str(), &end);
  if (end != copy.c_str() + copy.size()) return std::nullopt;
  if (errno == ERANGE && (std::isinf(number) || number == 0)) return std::nullopt;
  if (std::isnan(number)) return std::nullopt;
  return number;
}

std::string format_float(long double number) {
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  const int size = std::snprintf(nullptr, 0, "%.17Lf", number);
  std::string text(static_cast<std::size_t>(size) + 1, '\0');
  static_cast<void>(std::snprintf(text.data(), text.size(), "%.17Lf", number));
  text.pop_back();
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

std::optional<std::uint64_t> parse_memory(std::string_view text) {
  std::uint64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  // As in Redis, no digits are 0.
  if (error == std::errc::result_out_of_range || (!text.empty() && text[0] == '-')) return std::nullopt;
  const std::string unit = lower_case({stop, static_cast<std::size_t>(text.data() + text.size() - stop)});
  struct Unit {
    const char* name;
    std::uint64_t bytes;
  };
  constexpr std::array<Unit, 8> kUnits{{{"", 1},
                                        {"b", 1},
                                        {"k", 1000},
                                        {"kb", 1024},
                                        {"m", 1'000'000},
                                        {"mb", std::uint64_t{1} << 20},
                                        {"g", 1'000'000'000},
                                        {"gb", std::uint64_t{1} << 30}}};
  const auto* found =
      std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& known) { return unit == known.name; });
  if (found == kUnits.end() || number > UINT64_MAX / found->bytes) return std::nullopt;
  return number * found->bytes;
}

IntegerText::IntegerText(std::int64_t number) {
  size_ = static_cast<std::size_t>(
      std::to_chars(digits_.data(), digits_.data() + digits_.size(), number).ptr - digits_.data());
}

int compare_ignoring_case(std::string_view a, std::string_view b) {
  const std::size_t common = std::min(a.size(), b.size());
  for (std::size_t i = 0; i < common; ++i) {
    const int difference = lower(a[i]) - lower(b[i]);
    if (difference != 0) return difference;
  }
  return a.size() == b.size() ? 0 : a.size() < b.size() ? -1 : 1;
}

bool same_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && compare_ignoring_case(a, b) == 0;
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

}  // namespace millrace::kv
