#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/keyed_hash.h"
#include "command.h"
#include "config.h"
#include "keyspace.h"
#include "mailbox.h"
#include "message.h"
#include "standstill.h"
#include "storage.h"
#include "waker.h"

namespace millrace::kv {

/// What one thread owns of the data, and how other threads reach it.
struct Shard {
  explicit Shard(const Rng::Seed& seed) : keys(seed), log(keys) {}

  Keyspace keys;
  ChangeLog log;
  Mailbox<Message> mailbox;
  Waker waker;
};

/// All there is of the data, a shard a thread, and what the threads have in common.
class Shards {
 public:
  /// Opens the store, if there is to be one, and reads it. Throws std::runtime_error with one line for the
  /// user.
  explicit Shards(const Config& config);

  [[nodiscard]] unsigned count() const { return count_; }
  [[nodiscard]] Shard& operator[](unsigned index) { return shards_[index]; }
  /// Whose key that is.
  [[nodiscard]] unsigned owner(std::string_view key) const;

  static constexpr unsigned kAll = ~0U;
  /// The shard that a command is of: `own` when it needs none; kAll: of several.
  [[nodiscard]] unsigned owner(const Resolved& command, const Arguments& arguments, unsigned own) const;

  /// A thread's server, once; before any of them runs.
  void join(unsigned index, Server& server) { servers_[index] = &server; }
  /// For whom all others stand still.
  [[nodiscard]] std::span<Server* const> servers() const { return servers_; }
  [[nodiscard]] Standstill& standstill() { return standstill_; }

  /// Null: nothing is kept.
  [[nodiscard]] const Storage* storage() const { return storage_.get(); }
  /// What has changed in one shard.
  void commit(unsigned index);
  /// What has changed in all, as one; in a standstill.
  void commit_all();

  /// Any thread: all end after their turn.
  void stop();
  [[nodiscard]] bool stopped() const { return stopped_.load(std::memory_order_relaxed); }

  /// Of all threads.
  [[nodiscard]] std::atomic<std::size_t>& clients() { return clients_; }
  [[nodiscard]] std::int64_t started_ms() const { return started_ms_; }
  [[nodiscard]] const std::string& run_id() const { return run_id_; }

 private:
  const unsigned count_;
  std::deque<Shard> shards_;
  std::vector<ChangeLog*> logs_;
  std::vector<Server*> servers_;
  KeyedHash hash_;
  Standstill standstill_;
  std::unique_ptr<Storage> storage_;
  std::atomic<std::size_t> clients_{0};
  std::atomic<bool> stopped_{false};
  std::int64_t started_ms_;
  std::string run_id_;
};

}  // namespace millrace::kv
