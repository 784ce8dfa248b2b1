#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>

#include "base/apart.h"
#include "base/time.h"
#include "packet/packet.h"
#include "packet/pool.h"
#include "unique_fd.h"

namespace millrace::drivers {

/// Frames that came in by another queue than the one they belong to, on their way there: as copies, because
/// no packet leaves its context. Bounded; anybody posts, one owner takes.
///
///     another context                        the owner
///     post(): copy, lock, append  ────────>  take(): lock, remove, copy into its own pool
///             ring the descriptor            arm(): from now on a post rings
class alignas(kApart) Mailbox {
 public:
  static constexpr std::size_t kFrames = 2048, kBytes = 8u << 20;

  Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// A frame in memory of its own, and what is known of its checksums.
  struct Letter {
    std::unique_ptr<std::uint8_t[]> bytes;
    std::uint32_t length = 0;
    Offload offload;
  };
  /// Any thread. False: it is full, and the letter is gone.
  bool post(Letter letter);

  // --- the owner
  /// Appends up to `budget` frames to `out`; how many there were, of which `lost` for want of memory.
  std::size_t take(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now, std::uint64_t& lost);
  /// Before a sleep: true when something is here already.
  [[nodiscard]] bool arm();
  /// Readable once something was posted after arm().
  [[nodiscard]] int fd() const { return bell_.get(); }

 private:
  std::atomic<std::size_t> count_{0};  ///< of letters_: what an owner looks at in every turn
  std::atomic<bool> armed_{false}, rung_{false};
  UniqueFd bell_;
  std::mutex mutex_;
  std::deque<Letter> letters_;
  std::size_t bytes_ = 0;
};

}  // namespace millrace::drivers
