#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace millrace::posix {

/// Whether what a send transmits may wait, so that it leaves together with that of the next sends.
///
/// It waits for no more sends than half of the events that an epoll set told the program of last, and than
/// are left of them: the answer to the only request leaves at once, and a peer whose requests are all here
/// gets half of the answers while the others are made. Without a limit of the user's, the program's habits
/// decide as well. Who makes a next call, or waits, soon after a send that was held back loses nothing by it.
/// Who computes first delays the send: after a few such, none is held for a while, and then again after each.
class SendBatch {
 public:
  /// So long after a send a program is soon back.
  static constexpr Duration kSoon = 50us;
  static constexpr std::uint32_t kUsual = 16;

  /// `limit`: at most so many together; 0: kUsual, as the program's habits allow.
  explicit SendBatch(std::uint32_t limit) : limit_(limit == 0 ? kUsual : limit), adapts_(limit == 0) {}

  void tell_events(std::uint32_t count) {
    told_ = count;
    together_ = std::min(limit_, (count + 1) / 2);
  }
  /// After a send: true when it may wait.
  [[nodiscard]] bool hold(Instant now) {
    ++sends_;
    if (pause_ != 0) {
      --pause_;
      return false;
    }
    if (sends_ >= std::min(together_, told_)) return false;
    held_at_ = now;
    holds_ = true;
    return true;
  }
  [[nodiscard]] bool holds() const { return holds_; }
  /// The user wants several calls' frames to leave together.
  [[nodiscard]] bool is_asked_for() const { return !adapts_ && limit_ > 1; }
  /// Everything is transmitted.
  void flushed(Instant now) {
    told_ -= std::min(sends_, told_);
    sends_ = 0;
    if (!holds_) return;
    holds_ = false;
    if (adapts_) learn(now - held_at_ > kSoon);
  }

 private:
  static constexpr int kMostTrust = 64, kLate = 16;
  static constexpr std::uint32_t kPause = 10'000;

  void learn(bool late) {
    trust_ = std::min(trust_ + (late ? -kLate : 1), kMostTrust);
    if (trust_ > 0) return;
    pause_ = kPause;
    trust_ = 1;
  }

  std::uint32_t limit_;
  bool adapts_;
  bool holds_ = false;
  std::uint32_t told_ = 0;      ///< events, of which this many sends may be answers
  std::uint32_t together_ = 0;  ///< so many sends at most
  std::uint32_t sends_ = 0;     ///< since everything was transmitted
  std::uint32_t pause_ = 0;     ///< sends to go without holding any back
  int trust_ = kMostTrust;
  Instant held_at_{};
};

}  // namespace millrace::posix
