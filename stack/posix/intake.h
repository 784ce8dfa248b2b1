#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace millrace::posix {

/// When a thread that does not run out of work looks at the device again.
///
/// What is taken in while the program still works off the events that an epoll set told it of lies in its
/// sockets' queues, and is in no cache any more once the program comes to it. Where the device's senders wait
/// for room it is better left there; where a full ring loses frames it is taken in soon, as the kernel does.
class Intake {
 public:
  /// A look at an epoll set polls when the last poll was longer ago, even if something is ready.
  static constexpr Duration kBusyTurn = 10us;
  /// A call that did something polls when the last poll was longer ago: a program that never runs out of
  /// work never waits, and its frames must not pile up meanwhile.
  static constexpr Duration kCallTurn = 50us;
  /// Both, while frames may wait: timers, and sockets that the program has not been told of, may not for
  /// long.
  static constexpr Duration kPatience = 500us;

  explicit Intake(bool senders_wait) : senders_wait_(senders_wait) {}

  /// The most frames that one turn takes in.
  [[nodiscard]] std::size_t most_frames() const { return senders_wait_ ? kUsualFrames : 8 * kUsualFrames; }
  static constexpr std::size_t kUsualFrames = 64;

  void tell_events(std::uint32_t count) { told_ = left_ = count; }
  /// The program took something in: one of the events is dealt with, for all one knows.
  void on_receive() { left_ -= left_ != 0 ? 1 : 0; }

  /// A program that left most of what it was told of where it is does not mean to take it.
  [[nodiscard]] Duration between_looks() const {
    return senders_wait_ && told_ != 0 && left_ <= told_ / 2 ? kPatience : kBusyTurn;
  }
  [[nodiscard]] Duration between_calls() const { return senders_wait_ && left_ != 0 ? kPatience : kCallTurn; }

 private:
  bool senders_wait_;
  std::uint32_t told_ = 0, left_ = 0;
};

}  // namespace millrace::posix
