#include "lookahead.h"

#include <optional>

namespace millrace::kv {

namespace {

/// Reads "<type><one to three digits>\r\n" off the front.
std::optional<std::size_t> take_length(std::string_view& text, char type) {
  constexpr std::size_t kMostDigits = 3;
  if (text.empty() || text[0] != type) return std::nullopt;
  std::size_t value = 0, i = 1;
  for (; i < text.size() && i <= kMostDigits; ++i) {
    const unsigned digit = static_cast<unsigned char>(text[i]) - unsigned{'0'};
    if (digit > 9) break;
    value = value * 10 + digit;
  }
  if (i == 1 || text.size() < i + 2 || text[i] != '\r' || text[i + 1] != '\n') return std::nullopt;
  text.remove_prefix(i + 2);
  return value;
}

/// Reads "$<length>\r\n<bytes>\r\n" off the front.
std::optional<std::string_view> take_bulk(std::string_view& text) {
  const auto length = take_length(text, '$');
  if (!length || text.size() < *length + 2 || text[*length] != '\r' || text[*length + 1] != '\n')
    return std::nullopt;
  const std::string_view bytes = text.substr(0, *length);
  text.remove_prefix(*length + 2);
  return bytes;
}

}  // namespace

Ahead look_ahead(std::string_view buffer, std::span<std::string_view> keys) {
  Ahead ahead;
  while (ahead.keys < keys.size()) {
    const auto arguments = take_length(buffer, '*');
    if (!arguments) break;
    std::optional<std::string_view> key;
    std::size_t taken = 0;
    for (; taken < *arguments; ++taken) {
      const auto argument = take_bulk(buffer);
      if (!argument) break;
      if (taken == 1) key = argument;
    }
    if (taken < *arguments) break;
    ++ahead.commands;
    if (key) keys[ahead.keys++] = *key;
  }
  return ahead;
}

}  // namespace millrace::kv
