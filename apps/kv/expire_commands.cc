#include <limits>
#include <string>

#include "command.h"
#include "expiry_options.h"
#include "numbers.h"

namespace millrace::kv::commands {

namespace {

constexpr std::int64_t kNoKey = -2, kNoExpiry = -1;

struct Conditions {
  bool nx = false, xx = false, gt = false, lt = false;

  /// What is wrong, as an error; empty: nothing.
  std::string parse(Call& call) {
    for (std::size_t i = 3; i < call.count(); ++i) {
      const std::string_view word = call.text(i);
      if (same_ignoring_case(word, "nx")) {
        nx = true;
      } else if (same_ignoring_case(word, "xx")) {
        xx = true;
      } else if (same_ignoring_case(word, "gt")) {
        gt = true;
      } else if (same_ignoring_case(word, "lt")) {
        lt = true;
      } else {
        return "ERR Unsupported option " + std::string(c_string(word));
      }
    }
    if (nx && (xx || gt || lt)) return "ERR NX and XX, GT or LT options at the same time are not compatible";
    if (gt && lt) return "ERR GT and LT options at the same time are not compatible";
    return {};
  }

  /// `now`: when the key expires as it is; 0: never.
  [[nodiscard]] bool allow(std::int64_t now, std::int64_t at) const {
    if (nx && now != 0) return false;
    if (xx && now == 0) return false;
    if (gt && (now == 0 || at <= now)) return false;
    return !(lt && now != 0 && at >= now);
  }
};

void expire_at(Call& call, ExpiryUnit unit) {
  using Int = std::numeric_limits<std::int64_t>;
  Conditions conditions;
  const std::string problem = conditions.parse(call);
  if (!problem.empty()) return call.reply.error(problem);
  const auto number = parse_integer(call.text(2));
  if (!number) return call.reply.error(kNotAnInteger);
  const std::int64_t scale = unit.seconds ? 1000 : 1;
  const std::int64_t base = unit.relative ? call.keys.now() : 0;
  if (*number > Int::max() / scale || *number < Int::min() / scale || *number * scale > Int::max() - base) {
    return reply_invalid_expiry(call);
  }
  const std::int64_t at = *number * scale + base;
  Entry* entry = call.keys.find(call.text(1));
  if (entry == nullptr || !conditions.allow(entry->expires_at, at)) return call.reply.integer(0);
  if (at <= call.keys.now()) {
    call.keys.erase(call.text(1));
  } else {
    call.keys.set_expiry(*entry, at);
  }
  call.reply.integer(1);
}

/// When the key expires in ms, since 1970 or from now on.
void tell_expiry(Call& call, ExpiryUnit unit) {
  const Entry* entry = call.keys.peek(call.text(1));
  if (entry == nullptr) return call.reply.integer(kNoKey);
  if (entry->expires_at == 0) return call.reply.integer(kNoExpiry);
  const std::int64_t at =
      unit.relative ? std::max<std::int64_t>(entry->expires_at - call.keys.now(), 0) : entry->expires_at;
  call.reply.integer(unit.seconds ? at / 1000 + (at % 1000 >= 500 ? 1 : 0) : at);
}

}  // namespace

void expire(Call& call) {
  expire_at(call, {.seconds = true, .relative = true});
}

void pexpire(Call& call) {
  expire_at(call, {.seconds = false, .relative = true});
}

void expireat(Call& call) {
  expire_at(call, {.seconds = true, .relative = false});
}

void pexpireat(Call& call) {
  expire_at(call, {.seconds = false, .relative = false});
}

void ttl(Call& call) {
  tell_expiry(call, {.seconds = true, .relative = true});
}

void pttl(Call& call) {
  tell_expiry(call, {.seconds = false, .relative = true});
}

void expiretime(Call& call) {
  tell_expiry(call, {.seconds = true, .relative = false});
}

void pexpiretime(Call& call) {
  tell_expiry(call, {.seconds = false, .relative = false});
}

void persist(Call& call) {
  Entry* entry = call.keys.find(call.text(1));
  if (entry == nullptr || entry->expires_at == 0) return call.reply.integer(0);
  call.keys.set_expiry(*entry, std::nullopt);
  call.reply.integer(1);
}

}  // namespace millrace::kv::commands
