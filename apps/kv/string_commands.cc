#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "command.h"
#include "expiry_options.h"
#include "numbers.h"

namespace millrace::kv::commands {

namespace {

void reply_value(Call& call, const Entry* entry) {
  if (entry == nullptr) return call.reply.null();
  call.reply.bulk(entry->value);
}

/// Of SET: what stands behind the value. At most one of the ways to deal with expiry, and of the conditions.
struct SetOptions {
  bool if_absent = false, if_present = false, get = false, keep_expiry = false;
  std::optional<ExpiryUnit> unit;
  std::string_view time;

  /// False: that makes no sense.
  bool parse(const Arguments& args) {
    for (std::size_t i = 3; i < args.size(); ++i) {
      const std::string_view word = args[i].text;
      const auto found = expiry_unit(word);
      if (same_ignoring_case(word, "nx") && !if_present) {
        if_absent = true;
      } else if (same_ignoring_case(word, "xx") && !if_absent) {
        if_present = true;
      } else if (same_ignoring_case(word, "get")) {
        get = true;
      } else if (same_ignoring_case(word, "keepttl") && !unit) {
        keep_expiry = true;
      } else if (found && !keep_expiry && (!unit || unit == found) && i + 1 < args.size()) {
        unit = found;
        time = args[++i].text;
      } else {
        return false;
      }
    }
    return true;
  }
};

/// Stores the value; `at` is the Unix time in ms of its end.
void store(Call& call, std::size_t value, std::optional<std::int64_t> at,
           Keyspace::Expiry expiry = Keyspace::Expiry::kForget) {
  Entry& entry = call.keys.set(call.text(1), call.args[value].take(), expiry);
  if (at) call.keys.set_expiry(entry, at);
}

void set_with_expiry(Call& call, ExpiryUnit unit) {
  const auto at = parse_expiry(call, call.text(2), unit);
  if (!at) return;
  store(call, 3, at);
  call.reply.ok();
}

/// False: it has been answered that it would be too long.
bool fits(Call& call, std::size_t size) {
  if (size <= Value::kMaxSize) return true;
  call.reply.error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  return false;
}

void increment(Call& call, std::int64_t by) {
  const Entry* entry = call.keys.find(call.text(1));
  const auto before = entry != nullptr ? parse_integer(entry->value->bytes()) : 0;
  if (!before) return call.reply.error(kNotAnInteger);
  std::int64_t after = 0;
  if (__builtin_add_overflow(*before, by, &after)) {
    return call.reply.error("ERR increment or decrement would overflow");
  }
  const IntegerText text(after);
  std::memcpy(call.keys.edit(call.text(1), text.text().size()), text.text().data(), text.text().size());
  call.reply.integer(after);
}

void set_pairs(Call& call) {
  for (std::size_t i = 1; i < call.count(); i += 2) {
    call.keys_of(call.text(i)).set(call.text(i), call.args[i + 1].take());
  }
}

/// False: it has been answered that a value is missing.
bool are_pairs(Call& call) {
  if (call.count() % 2 == 1) return true;
  reply_wrong_arity(call.reply, lower_case(call.text(0)));
  return false;
}

}  // namespace

void get(Call& call) {
  reply_value(call, call.keys.read(call.text(1)));
}

void set(Call& call) {
  if (call.count() == 3) {
    call.keys.set(call.text(1), call.args[2].take());
    return call.reply.ok();
  }
  SetOptions options;
  if (!options.parse(call.args)) return call.reply.error(kSyntaxError);
  std::optional<std::int64_t> at;
  if (options.unit) {
    at = parse_expiry(call, options.time, *options.unit);
    if (!at) return;
  }
  if (options.get) get(call);
  const bool there = call.keys.find(call.text(1)) != nullptr;
  if (there ? options.if_absent : options.if_present) {
    if (!options.get) call.reply.null();
    return;
  }
  store(call, 2, at, options.keep_expiry ? Keyspace::Expiry::kKeep : Keyspace::Expiry::kForget);
  if (!options.get) call.reply.ok();
}

void setnx(Call& call) {
  const bool there = call.keys.find(call.text(1)) != nullptr;
  if (!there) store(call, 2, std::nullopt);
  call.reply.integer(there ? 0 : 1);
}

void setex(Call& call) {
  set_with_expiry(call, {.seconds = true, .relative = true});
}

void psetex(Call& call) {
  set_with_expiry(call, {.seconds = false, .relative = true});
}

void getset(Call& call) {
  get(call);
  store(call, 2, std::nullopt);
}

void getdel(Call& call) {
  get(call);
  call.keys.erase(call.text(1));
}

void getex(Call& call) {
  std::optional<ExpiryUnit> unit;
  std::string_view time;
  bool persist = false;
  for (std::size_t i = 2; i < call.count(); ++i) {
    const auto found = expiry_unit(call.text(i));
    if (same_ignoring_case(call.text(i), "persist") && !unit) {
      persist = true;
    } else if (found && !persist && (!unit || unit == found) && i + 1 < call.count()) {
      unit = found;
      time = call.text(++i);
    } else {
      return call.reply.error(kSyntaxError);
    }
  }
  Entry* entry = call.keys.read(call.text(1));
  if (entry == nullptr) return call.reply.null();
  std::optional<std::int64_t> at;
  if (unit) {
    at = parse_expiry(call, time, *unit);
    if (!at) return;
  }
  call.reply.bulk(entry->value);
  if (at && *at <= call.keys.now()) {
    call.keys.erase(call.text(1));
  } else if (at || (persist && entry->expires_at != 0)) {
    call.keys.set_expiry(*entry, at);
  }
}

void mget(Call& call) {
  call.reply.array(call.count() - 1);
  for (std::size_t i = 1; i < call.count(); ++i) {
    Keyspace& keys = call.keys_of(call.text(i));
    const Entry* entry = keys.read(call.text(i));
    if (entry == nullptr) {
      call.reply.null();
    } else {
      call.reply_value(keys, entry->value);
    }
  }
}

void mset(Call& call) {
  if (!are_pairs(call)) return;
  set_pairs(call);
  call.reply.ok();
}

void msetnx(Call& call) {
  if (!are_pairs(call)) return;
  for (std::size_t i = 1; i < call.count(); i += 2) {
    if (call.keys_of(call.text(i)).find(call.text(i)) != nullptr) return call.reply.integer(0);
  }
  set_pairs(call);
  call.reply.integer(1);
}

void append(Call& call) {
  const Entry* entry = call.keys.find(call.text(1));
  if (entry == nullptr) {
    const Entry& made = call.keys.set(call.text(1), call.args[2].take());
    return call.reply.integer(static_cast<std::int64_t>(made.value->size()));
  }
  const std::string_view more = call.text(2);
  const std::size_t before = entry->value->size();
  if (!fits(call, before + more.size())) return;
  char* bytes = call.keys.edit(call.text(1), before + more.size());
  std::memcpy(bytes + before, more.data(), more.size());
  call.reply.integer(static_cast<std::int64_t>(before + more.size()));
}

void strlen(Call& call) {
  const Entry* entry = call.keys.read(call.text(1));
  call.reply.integer(entry != nullptr ? static_cast<std::int64_t>(entry->value->size()) : 0);
}

void getrange(Call& call) {
  const auto first = parse_integer(call.text(2)), last = parse_integer(call.text(3));
  if (!first || !last) return call.reply.error(kNotAnInteger);
  const Entry* entry = call.keys.read(call.text(1));
  const auto size = entry != nullptr ? static_cast<std::int64_t>(entry->value->size()) : 0;
  if (size == 0 || (*first < 0 && *last < 0 && *first > *last)) return call.reply.bulk(std::string_view());
  const std::int64_t start = *first < 0 ? std::max<std::int64_t>(*first + size, 0) : *first;
  const std::int64_t end = std::min(*last < 0 ? std::max<std::int64_t>(*last + size, 0) : *last, size - 1);
  if (start > end) return call.reply.bulk(std::string_view());
  if (start == 0 && end == size - 1) return call.reply.bulk(entry->value);
  call.reply.bulk(entry->value->bytes().substr(static_cast<std::size_t>(start),
                                               static_cast<std::size_t>(end - start + 1)));
}

void setrange(Call& call) {
  const auto offset = parse_integer(call.text(2));
  if (!offset) return call.reply.error(kNotAnInteger);
  if (*offset < 0) return call.reply.error("ERR offset is out of range");
  const Entry* entry = call.keys.find(call.text(1));
  const std::size_t before = entry != nullptr ? entry->value->size() : 0;
  const std::string_view bytes = call.text(3);
  if (bytes.empty()) return call.reply.integer(static_cast<std::int64_t>(before));
  const std::size_t end = static_cast<std::size_t>(*offset) + bytes.size();
  if (!fits(call, end)) return;
  const std::size_t size = std::max(before, end);
  std::memcpy(call.keys.edit(call.text(1), size) + *offset, bytes.data(), bytes.size());
  call.reply.integer(static_cast<std::int64_t>(size));
}

void incr(Call& call) {
  increment(call, 1);
}

void decr(Call& call) {
  increment(call, -1);
}

void incrby(Call& call) {
  const auto by = parse_integer(call.text(2));
  if (!by) return call.reply.error(kNotAnInteger);
  increment(call, *by);
}

void decrby(Call& call) {
  const auto by = parse_integer(call.text(2));
  if (!by) return call.reply.error(kNotAnInteger);
  if (*by == std::numeric_limits<std::int64_t>::min()) {
    return call.reply.error("ERR decrement would overflow");
  }
  increment(call, -*by);
}

void incrbyfloat(Call& call) {
  constexpr std::string_view kNotAFloat = "ERR value is not a valid float";
  const Entry* entry = call.keys.find(call.text(1));
  const auto before = entry != nullptr ? parse_float(entry->value->bytes()) : 0.0L;
  const auto by = parse_float(call.text(2));
  if (!before || !by) return call.reply.error(kNotAFloat);
  const long double after = *before + *by;
  if (__builtin_isnan(after) || __builtin_isinf(after)) {
    return call.reply.error("ERR increment would produce NaN or Infinity");
  }
  const std::string text = format_float(after);
  std::memcpy(call.keys.edit(call.text(1), text.size()), text.data(), text.size());
  call.reply.bulk(text);
}

}  // namespace millrace::kv::commands
