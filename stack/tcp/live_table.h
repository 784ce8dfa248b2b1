#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace millrace::tcp {

/// A connection that another process could end in our place: what it takes to reset it. In memory that the
/// owner of the stack shares with whoever watches over it, who reads after the owner's death.
struct LiveEntry {
  std::uint32_t used;                           ///< 1: the rest is valid; by is_used() and set_used() alone
  std::uint32_t local_address, remote_address;  ///< IPv4, host byte order
  std::uint16_t local_port, remote_port;
  std::uint32_t snd_nxt, rcv_nxt;

  // What else the entry holds is there before the mark is, for whoever looks from another process.
  [[nodiscard]] bool is_used() const { return __atomic_load_n(&used, __ATOMIC_ACQUIRE) != 0; }
  void set_used(bool on) { __atomic_store_n(&used, on ? 1U : 0U, __ATOMIC_RELEASE); }
};
static_assert(sizeof(LiveEntry) == 24);

/// The stack's side of it: a free place for each connection that is established, as long as there are any;
/// then the rest goes unwatched.
class LiveTable {
 public:
  LiveTable() = default;
  explicit LiveTable(std::span<LiveEntry> entries) : entries_(entries) {}

  /// Null: none is free.
  [[nodiscard]] LiveEntry* take() {
    for (std::size_t tried = 0; tried < entries_.size() && tried < kTries; ++tried) {
      LiveEntry& entry = entries_[next_];
      next_ = next_ + 1 == entries_.size() ? 0 : next_ + 1;
      if (!entry.is_used()) return &entry;
    }
    return nullptr;
  }

 private:
  static constexpr std::size_t kTries = 64;
  std::span<LiveEntry> entries_;
  std::size_t next_ = 0;
};

}  // namespace millrace::tcp
