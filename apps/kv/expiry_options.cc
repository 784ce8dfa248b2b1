#include "expiry_options.h"

#include <limits>
#include <string>

#include "numbers.h"

namespace millrace::kv {

std::optional<ExpiryUnit> expiry_unit(std::string_view word) {
  if (same_ignoring_case(word, "ex")) return ExpiryUnit{.seconds = true, .relative = true};
  if (same_ignoring_case(word, "px")) return ExpiryUnit{.seconds = false, .relative = true};
  if (same_ignoring_case(word, "exat")) return ExpiryUnit{.seconds = true, .relative = false};
  if (same_ignoring_case(word, "pxat")) return ExpiryUnit{.seconds = false, .relative = false};
  return std::nullopt;
}

void reply_invalid_expiry(Call& call) {
  call.reply.error("ERR invalid expire time in '" + lower_case(call.text(0)) + "' command");
}

std::optional<std::int64_t> parse_expiry(Call& call, std::string_view text, ExpiryUnit unit) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  const auto number = parse_integer(text);
  if (!number) {
    call.reply.error(kNotAnInteger);
    return std::nullopt;
  }
  std::int64_t at = *number;
  const std::int64_t base = unit.relative ? call.keys.now() : 0;
  const std::int64_t scale = unit.seconds ? 1000 : 1;
  if (at <= 0 || at > kMax / scale || at * scale > kMax - base) {
    reply_invalid_expiry(call);
    return std::nullopt;
  }
  return at * scale + base;
}

}  // namespace millrace::kv
