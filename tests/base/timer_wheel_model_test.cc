#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "base/rng.h"
#include "base/timer_wheel.h"

namespace millrace {
namespace {

/// A wheel beside a sorted map of the same deadlines. Every operation goes to both; callbacks check
/// themselves against the map and go on arming and cancelling.
class WheelAndModel {
 public:
  explicit WheelAndModel(std::uint64_t seed) : rng_(seed), now_(random_start()), wheel_(now_) {
    for (std::size_t i = 0; i < kTimers; ++i) {
      alarms_.push_back(std::make_unique<Alarm>(*this));
    }
  }

  void step() {
    switch (rng_.below(8)) {
      case 0:
      case 1:
      case 2:
        arm(random_alarm(), random_deadline());
        break;
      case 3:
        cancel(random_alarm());
        break;
      case 4:
        replace_one();
        break;
      case 5:
        run_to(near(wheel_.next_deadline()) ? std::max(now_, wheel_.next_deadline()) : now_);
        break;
      default:
        run_to(now_ + random_delay());
        break;
    }
    check();
  }

  [[nodiscard]] std::size_t fired() const { return fired_; }

 private:
  static constexpr std::size_t kTimers = 40;

  struct Alarm {
    explicit Alarm(WheelAndModel& test) : owner(test) {}
    WheelAndModel& owner;
    Timer timer{[](void* self, Instant now) {
                  auto* alarm = static_cast<Alarm*>(self);
                  alarm->owner.on_fire(*alarm, now);
                },
                this};
  };

  Instant random_start() {
    // Also just below the ends of the spans of the wheel's levels.
    const std::int64_t span = std::int64_t{1} << (16 + 8 * (1 + rng_.below(4)));
    const std::int64_t back = static_cast<std::int64_t>(rng_.u64() >> (32 + rng_.below(31)));
    return kEpoch + Duration{static_cast<std::int64_t>(rng_.below(3)) * span - back};
  }
  /// From nanoseconds to weeks: all magnitudes alike.
  Duration random_delay() { return Duration{static_cast<std::int64_t>(rng_.u64() >> (14 + rng_.below(50)))}; }
  Instant random_deadline() {
    if (rng_.chance(0.05)) return now_ - random_delay();
    if (rng_.chance(0.01)) return kNever;
    if (rng_.chance(0.1) && !model_.empty()) return model_.begin()->first;  // the same as another's
    return now_ + random_delay();
  }
  [[nodiscard]] bool near(Instant t) const { return t < now_ + 24h * 60; }
  Alarm& random_alarm() { return *alarms_[rng_.below(kTimers)]; }

  void forget(Alarm& alarm) {
    const auto [first, last] = model_.equal_range(alarm.timer.deadline());
    for (auto it = first; it != last; ++it) {
      if (it->second == &alarm) {
        model_.erase(it);
        return;
      }
    }
    FAIL() << "an armed timer that the model does not know";
  }
  void arm(Alarm& alarm, Instant deadline) {
    if (alarm.timer.armed()) forget(alarm);
    wheel_.arm(alarm.timer, deadline);
    model_.emplace(deadline, &alarm);
    due_.erase(&alarm);
  }
  void cancel(Alarm& alarm) {
    if (alarm.timer.armed()) forget(alarm);
    wheel_.cancel(alarm.timer);
    due_.erase(&alarm);
  }
  void replace_one() {
    auto& place = alarms_[rng_.below(kTimers)];
    if (place->timer.armed()) forget(*place);
    place = std::make_unique<Alarm>(*this);
  }

  void run_to(Instant now) {
    now_ = now;
    for (auto it = model_.begin(); it != model_.end() && it->first <= now; ++it) due_.insert(it->second);
    const std::size_t before = fired_;
    last_slot_ = INT64_MIN;
    const std::size_t called = wheel_.run(now);
    ASSERT_EQ(called, fired_ - before);
    ASSERT_TRUE(due_.empty()) << due_.size() << " due timers did not fire";
  }

  void on_fire(Alarm& alarm, Instant now) {
    ASSERT_EQ(now, now_);
    ASSERT_FALSE(alarm.timer.armed());
    ASSERT_EQ(due_.erase(&alarm), 1u) << "fired, but not due in this run";
    ++fired_;
    // The model still has it: find its deadline.
    Instant deadline = kNever;
    for (auto it = model_.begin(); it != model_.end(); ++it) {
      if (it->second != &alarm) continue;
      deadline = it->first;
      model_.erase(it);
      break;
    }
    ASSERT_LE(deadline, now);
    const std::int64_t slot = deadline.time_since_epoch().count() >> 16;
    if (slot > start_of_run_slot_) {
      ASSERT_GE(slot, last_slot_) << "out of the order of slots";
      last_slot_ = slot;
    }
    switch (rng_.below(6)) {
      case 0:
        arm(alarm, random_deadline());
        break;
      case 1:
        arm(random_alarm(), random_deadline());
        break;
      case 2:
        cancel(random_alarm());
        break;
      case 3:
        check();
        break;
      default:
        break;
    }
  }

  void check() {
    ASSERT_EQ(wheel_.size(), model_.size());
    ASSERT_EQ(wheel_.next_deadline(), model_.empty() ? kNever : model_.begin()->first);
    start_of_run_slot_ = now_.time_since_epoch().count() >> 16;
  }

  Rng rng_;
  Instant now_;
  TimerWheel wheel_;
  std::multimap<Instant, Alarm*> model_;
  std::set<Alarm*> due_;
  std::vector<std::unique_ptr<Alarm>> alarms_;
  std::size_t fired_ = 0;
  std::int64_t last_slot_ = INT64_MIN;
  std::int64_t start_of_run_slot_ = INT64_MAX;
};

TEST(TimerWheelModel, BehavesAsASortedMapUnderRandomUse) {
  std::size_t fired = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    WheelAndModel test{seed};
    for (int i = 0; i < 1500; ++i) {
      test.step();
      if (testing::Test::HasFatalFailure()) {
        ADD_FAILURE() << "seed " << seed << ", step " << i;
        return;
      }
    }
    fired += test.fired();
  }
  EXPECT_GT(fired, 50000u);
}

}  // namespace
}  // namespace millrace
