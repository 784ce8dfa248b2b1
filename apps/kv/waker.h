#pragma once

#include <atomic>
#include <cstdint>

#include "common/event_loop.h"

namespace millrace::kv {

/// Wakes a thread that waits in its event loop. The thread says when it is about to wait and looks then
/// whether anything has come; who brings something calls knock(), which costs a system call only when the
/// thread may be asleep.
class Waker final : public apps::Handler {
 public:
  /// Throws std::system_error.
  Waker();
  ~Waker() override;

  // The thread's own.
  [[nodiscard]] int fd() const { return fd_; }
  void going_to_sleep() { asleep_.store(true); }
  void awake() { asleep_.store(false); }
  void on_event(std::uint32_t events) override;

  // Any thread's.
  void knock() {
    if (asleep_.load() && asleep_.exchange(false)) ring();
  }
  /// Its next wait is over at once, whatever it does now.
  void ring() const;

 private:
  int fd_;
  alignas(64) std::atomic<bool> asleep_{false};
};

}  // namespace millrace::kv
