#include "shards.h"

#include <sys/random.h>

#include <algorithm>

#include "clock.h"
#include "common/system_error.h"

namespace millrace::kv {

namespace {

Rng::Seed system_seed() {
  Rng::Seed seed;
  if (getrandom(seed.data(), seed.size(), 0) != static_cast<ssize_t>(seed.size())) {
    apps::throw_errno("getrandom");
  }
  return seed;
}

std::string make_run_id() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  Rng rng(system_seed());
  std::string id(40, ' ');
  for (char& c : id) c = kDigits[rng.below(16)];
  return id;
}

}  // namespace

Shards::Shards(const Config& config)
    : count_(config.threads()),
      servers_(count_),
      hash_(Rng(system_seed())),
      standstill_(count_),
      started_ms_(wall_clock_ms()),
      run_id_(make_run_id()) {
  for (unsigned i = 0; i < count_; ++i) {
    Shard& shard = shards_.emplace_back(system_seed());
    shard.keys.set_now(started_ms_);
    logs_.push_back(&shard.log);
  }
  if (config.store.empty()) return;
  storage_ = open_storage(config.store, config.sync);
  storage_->load([this](std::string_view key) -> ChangeLog& { return shards_[owner(key)].log; });
  for (Shard& shard : shards_) shard.keys.set_journal(&shard.log);
}

unsigned Shards::owner(std::string_view key) const {
  const std::uint64_t hash = hash_({reinterpret_cast<const std::uint8_t*>(key.data()), key.size()});
  return static_cast<unsigned>(hash % count());
}

unsigned Shards::owner(const Resolved& command, const Arguments& arguments, unsigned own) const {
  if (command.everywhere()) return kAll;
  const Command& known = *command.command;
  if (known.first_key == 0) return own;
  const auto at = [&](int position) {
    return static_cast<std::size_t>(position < 0 ? static_cast<int>(arguments.size()) + position : position);
  };
  std::size_t i = at(known.first_key);
  const std::size_t last = at(known.last_key), step = at(known.key_step);
  const unsigned first = owner(arguments[i].text);
  for (i += step; i <= last; i += step) {
    if (owner(arguments[i].text) != first) return kAll;
  }
  return first;
}

void Shards::commit(unsigned index) {
  if (storage_) storage_->commit({&logs_[index], 1});
}

void Shards::commit_all() {
  if (storage_) storage_->commit(logs_);
}

void Shards::stop() {
  stopped_.store(true);
  for (const Shard& shard : shards_) shard.waker.ring();
}

}  // namespace millrace::kv
