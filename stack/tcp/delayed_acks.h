#pragma once

#include <iterator>

#include <boost/intrusive/list.hpp>

#include "base/time.h"
#include "base/timer_wheel.h"

namespace millrace::tcp {

/// A connection's place among those whose ACK waits for data to go with.
struct DelayedAckTag;
class DelayedAckHook
    : public boost::intrusive::list_base_hook<boost::intrusive::tag<DelayedAckTag>,
                                              boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  /// kNever: it is in no list.
  [[nodiscard]] Instant listed_ack() const { return due_; }

 private:
  friend class DelayedAcks;
  Instant due_ = kNever;
};

/// The connections whose ACK waits, by when it is due (RFC 1122 §4.2.3.2). All wait for the same time, so the
/// list is in order by itself, and one timer serves it. Most ACKs go with an answer long before they are due:
/// of thousands of connections each would have its timer run for nothing every 40 ms, far from all caches. Of
/// few connections that costs less than to list them.
class DelayedAcks {
 public:
  /// One's time has come: it is in the list no more. It may have nothing to send by now.
  using Callback = void (*)(DelayedAckHook& connection, Instant now);

  DelayedAcks(TimerWheel& timers, Callback callback) : timers_(timers), callback_(callback) {}
  DelayedAcks(const DelayedAcks&) = delete;
  DelayedAcks& operator=(const DelayedAcks&) = delete;

  /// kNever: the ACK went out.
  void set(DelayedAckHook& connection, Instant due) {
    if (connection.due_ != kNever) connection.unlink();
    connection.due_ = due;
    if (due == kNever) return;
    auto place = list_.end();
    while (place != list_.begin() && std::prev(place)->due_ > due) --place;
    list_.insert(place, connection);
    timers_.arm_no_later_than(timer_, due);
  }

 private:
  void run(Instant now) {
    while (!list_.empty() && list_.front().due_ <= now) {
      DelayedAckHook& first = list_.front();
      set(first, kNever);
      callback_(first, now);
    }
    if (!list_.empty()) timers_.arm_no_later_than(timer_, list_.front().due_);
  }

  TimerWheel& timers_;
  Callback callback_;
  boost::intrusive::list<DelayedAckHook, boost::intrusive::base_hook<DelayedAckHook>,
                         boost::intrusive::constant_time_size<false>>
      list_;
  Timer timer_{[](void* self, Instant now) { static_cast<DelayedAcks*>(self)->run(now); }, this};
};

}  // namespace millrace::tcp
