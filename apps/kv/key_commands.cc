#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "command.h"
#include "glob.h"
#include "numbers.h"
#include "server.h"

namespace millrace::kv::commands {

namespace {

void count_keys(Call& call, bool (*counts)(Keyspace&, std::string_view)) {
  std::int64_t count = 0;
  for (std::size_t i = 1; i < call.count(); ++i) {
    count += counts(call.keys_of(call.text(i)), call.text(i)) ? 1 : 0;
  }
  call.reply.integer(count);
}

std::size_t count_all(const Call& call) {
  std::size_t count = 0;
  for (Server* server : call.servers) count += server->keys().size();
  return count;
}

/// The second key becomes what the first one is.
void duplicate(Call& call, const Entry& from) {
  Keyspace& there = call.keys_of(call.text(2));
  // Values are not shared between threads.
  const bool together = &there == &call.keys_of(call.text(1));
  const std::int64_t expires_at = from.expires_at;
  Entry& entry = there.set(call.text(2), together ? from.value : Value::copy_of(from.value->bytes()));
  if (expires_at != 0) there.set_expiry(entry, expires_at);
}

void move_key(Call& call, const Entry& from) {
  if (call.text(1) == call.text(2)) return;
  duplicate(call, from);
  call.keys_of(call.text(1)).erase(call.text(1));
}

}  // namespace

void del(Call& call) {
  count_keys(call, [](Keyspace& keyspace, std::string_view key) { return keyspace.erase(key); });
}

void exists(Call& call) {
  count_keys(call, [](Keyspace& keyspace, std::string_view key) { return keyspace.read(key) != nullptr; });
}

void touch(Call& call) {
  count_keys(call, [](Keyspace& keyspace, std::string_view key) { return keyspace.read(key) != nullptr; });
}

void type(Call& call) {
  call.reply.simple(call.keys.peek(call.text(1)) != nullptr ? "string" : "none");
}

void rename(Call& call) {
  const Entry* entry = call.keys_of(call.text(1)).find(call.text(1));
  if (entry == nullptr) return call.reply.error("ERR no such key");
  move_key(call, *entry);
  call.reply.ok();
}

void renamenx(Call& call) {
  const Entry* entry = call.keys_of(call.text(1)).find(call.text(1));
  if (entry == nullptr) return call.reply.error("ERR no such key");
  if (call.keys_of(call.text(2)).find(call.text(2)) != nullptr) return call.reply.integer(0);
  move_key(call, *entry);
  call.reply.integer(1);
}

void copy(Call& call) {
  bool replace = false;
  for (std::size_t i = 3; i < call.count(); ++i) {
    if (same_ignoring_case(call.text(i), "replace")) {
      replace = true;
    } else if (same_ignoring_case(call.text(i), "db") && i + 1 < call.count()) {
      if (!takes_database(call, call.text(++i))) return;
    } else {
      return call.reply.error(kSyntaxError);
    }
  }
  if (call.text(1) == call.text(2))
    return call.reply.error("ERR source and destination objects are the same");
  const Entry* entry = call.keys_of(call.text(1)).find(call.text(1));
  if (entry == nullptr) return call.reply.integer(0);
  if (!replace && call.keys_of(call.text(2)).peek(call.text(2)) != nullptr) return call.reply.integer(0);
  duplicate(call, *entry);
  call.reply.integer(1);
}

void keys(Call& call) {
  const std::string_view pattern = call.text(1);
  std::vector<std::string_view> found;
  for (Server* server : call.servers) {
    std::uint64_t cursor = 0;
    do {
      cursor = server->keys().scan(cursor, [&](Entry& entry) {
        if (matches(pattern, entry.key())) found.push_back(entry.key());
      });
    } while (cursor != 0);
  }
  call.reply.array(found.size());
  for (const std::string_view key : found) call.reply.bulk(key);
}

void randomkey(Call& call) {
  // Looking may find that what a keyspace has has expired.
  for (std::size_t all = count_all(call); all > 0; all = count_all(call)) {
    auto chosen = static_cast<std::size_t>(call.keys.random_number() % all);
    for (Server* server : call.servers) {
      Keyspace& keys = server->keys();
      const Entry* entry = chosen < keys.size() ? keys.random() : nullptr;
      if (entry != nullptr) return call.reply.bulk(entry->key());
      chosen -= std::min(chosen, keys.size());
    }
  }
  call.reply.null();
}

void dbsize(Call& call) {
  call.reply.integer(static_cast<std::int64_t>(count_all(call)));
}

void flush(Call& call) {
  const bool has_mode = call.count() == 2 && (same_ignoring_case(call.text(1), "async") ||
                                              same_ignoring_case(call.text(1), "sync"));
  if (call.count() > 2 || (call.count() == 2 && !has_mode)) return call.reply.error(kSyntaxError);
  for (Server* server : call.servers) server->keys().clear();
  call.reply.ok();
}

}  // namespace millrace::kv::commands
