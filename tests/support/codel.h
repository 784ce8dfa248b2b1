#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace millrace::test {

/// When to drop (or mark) by the time that packets spent in the queue: RFC 8289 §5, as a machine that is
/// asked about each packet that leaves.
class Codel {
 public:
  Codel(Duration target, Duration interval, std::size_t mtu)
      : target_(target), interval_(interval), mtu_(mtu) {}

  /// A packet leaves at `now` after `sojourn`, and `bytes_left` stay behind it. True: it is to be dropped,
  /// and then the next one is asked about, or to be marked and sent.
  [[nodiscard]] bool congested(Instant now, Duration sojourn, std::size_t bytes_left);
  /// The queue ran empty.
  void on_empty() {
    first_above_ = kNever;
    dropping_ = false;
  }

 private:
  /// RFC 8289 §5.5: above the target for a whole interval.
  [[nodiscard]] bool above_for_long(Instant now, Duration sojourn, std::size_t bytes_left);
  [[nodiscard]] Instant control_law(Instant from) const;

  Duration target_, interval_;
  std::size_t mtu_;
  Instant first_above_ = kNever;
  Instant drop_next_{};
  std::uint32_t count_ = 0, last_count_ = 0;
  bool dropping_ = false;
};

}  // namespace millrace::test
