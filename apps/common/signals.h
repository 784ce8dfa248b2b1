#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "common/event_loop.h"

namespace millrace::apps {

/// In the calling thread, and so in those it starts later. Throws std::system_error.
void block_signals(std::span<const int> numbers);

/// Signals as readable events: the loop is the only place where anything happens. They are blocked in the
/// calling thread, and so in those it starts later.
class Signals final : public Handler {
 public:
  /// Throws std::system_error.
  Signals(EventLoop& loop, std::span<const int> numbers, std::function<void(int)> came);
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() override;

  void on_event(std::uint32_t events) override;

 private:
  std::function<void(int)> came_;
  int fd_;
};

}  // namespace millrace::apps
