#include "base/timer_wheel.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

namespace millrace {
namespace {

/// A timer with a closure, and what it saw.
struct Alarm {
  explicit Alarm(std::function<void(Instant)> f = {}) : action(std::move(f)) {}
  Timer timer{[](void* owner, Instant now) { static_cast<Alarm*>(owner)->on_fire(now); }, this};
  std::function<void(Instant)> action;
  std::vector<Instant> fired;

  void on_fire(Instant now) {
    EXPECT_FALSE(timer.armed());
    fired.push_back(now);
    if (action) action(now);
  }
};

constexpr Instant kStart = kEpoch + 12345678ns;

TEST(TimerWheel, FiresAtItsDeadlineAndNotANanosecondBefore) {
  for (const Duration delay : {Duration{1ns}, Duration{70us}, Duration{17ms}, Duration{5s}, Duration{20min},
                               Duration{100h}, Duration{24h * 365}}) {
    TimerWheel wheel{kStart};
    Alarm alarm;
    wheel.arm(alarm.timer, kStart + delay);
    EXPECT_EQ(wheel.next_deadline(), kStart + delay);
    EXPECT_EQ(wheel.run(kStart + delay - 1ns), 0u);
    EXPECT_TRUE(alarm.timer.armed());
    EXPECT_EQ(wheel.run(kStart + delay), 1u);
    EXPECT_FALSE(alarm.timer.armed());
    EXPECT_EQ(alarm.fired, std::vector{kStart + delay});
    EXPECT_EQ(wheel.next_deadline(), kNever);
    EXPECT_EQ(wheel.size(), 0u);
  }
}

TEST(TimerWheel, DeadlineThatHasPassedFiresAtTheNextRun) {
  TimerWheel wheel{kStart};
  wheel.run(kStart + 1s);
  Alarm alarm;
  wheel.arm(alarm.timer, kStart);
  EXPECT_EQ(wheel.next_deadline(), kStart);
  EXPECT_EQ(wheel.run(kStart + 1s), 1u);
}

TEST(TimerWheel, NegativeTimesWork) {
  TimerWheel wheel{kEpoch - 10s};
  Alarm alarm;
  wheel.arm(alarm.timer, kEpoch - 1ns);
  EXPECT_EQ(wheel.run(kEpoch - 2ns), 0u);
  EXPECT_EQ(wheel.next_deadline(), kEpoch - 1ns);
  EXPECT_EQ(wheel.run(kEpoch), 1u);
}

TEST(TimerWheel, CancelledTimerDoesNotFire) {
  TimerWheel wheel{kStart};
  Alarm alarm;
  wheel.arm(alarm.timer, kStart + 1ms);
  wheel.cancel(alarm.timer);
  EXPECT_EQ(alarm.timer.deadline(), kNever);
  EXPECT_EQ(wheel.next_deadline(), kNever);
  EXPECT_EQ(wheel.run(kStart + 1s), 0u);
  wheel.cancel(alarm.timer);  // harmless
  EXPECT_EQ(wheel.size(), 0u);
}

TEST(TimerWheel, RearmingMovesTheDeadline) {
  TimerWheel wheel{kStart};
  Alarm alarm;
  wheel.arm(alarm.timer, kStart + 1ms);
  wheel.arm(alarm.timer, kStart + 2ms);
  EXPECT_EQ(wheel.size(), 1u);
  EXPECT_EQ(wheel.next_deadline(), kStart + 2ms);
  EXPECT_EQ(wheel.run(kStart + 1ms), 0u);
  EXPECT_EQ(wheel.run(kStart + 2ms), 1u);
}

TEST(TimerWheel, ArmNoLaterThanOnlyBringsForward) {
  TimerWheel wheel{kStart};
  Alarm alarm;
  wheel.arm_no_later_than(alarm.timer, kStart + 5ms);
  wheel.arm_no_later_than(alarm.timer, kStart + 9ms);
  EXPECT_EQ(alarm.timer.deadline(), kStart + 5ms);
  wheel.arm_no_later_than(alarm.timer, kStart + 2ms);
  EXPECT_EQ(alarm.timer.deadline(), kStart + 2ms);
}

TEST(TimerWheel, CallbackThatArmsForThePastDoesNotLoop) {
  TimerWheel wheel{kStart};
  Alarm alarm;
  alarm.action = [&](Instant now) { wheel.arm(alarm.timer, now - 1ms); };
  wheel.arm(alarm.timer, kStart + 1ms);
  EXPECT_EQ(wheel.run(kStart + 3ms), 1u);
  EXPECT_EQ(wheel.next_deadline(), kStart + 2ms);
  EXPECT_EQ(wheel.run(kStart + 3ms), 1u);
}

TEST(TimerWheel, CallbackMayCancelAnotherThatIsDueInTheSameRun) {
  TimerWheel wheel{kStart};
  Alarm second;
  Alarm first{[&](Instant) { wheel.cancel(second.timer); }};
  wheel.arm(first.timer, kStart + 1ms);
  wheel.arm(second.timer, kStart + 2ms);
  EXPECT_EQ(wheel.run(kStart + 5ms), 1u);
  EXPECT_TRUE(second.fired.empty());
  EXPECT_EQ(wheel.size(), 0u);
}

TEST(TimerWheel, CallbackMayPostponeAnotherThatIsDueInTheSameRun) {
  TimerWheel wheel{kStart};
  Alarm second;
  Alarm first{[&](Instant) { wheel.arm(second.timer, kStart + 1s); }};
  wheel.arm(first.timer, kStart + 1ms);
  wheel.arm(second.timer, kStart + 2ms);
  EXPECT_EQ(wheel.run(kStart + 5ms), 1u);
  EXPECT_EQ(wheel.next_deadline(), kStart + 1s);
  EXPECT_EQ(wheel.run(kStart + 1s), 1u);
  EXPECT_EQ(second.fired.size(), 1u);
}

TEST(TimerWheel, CallbackMayDestroyItsOwnerAndOthers) {
  TimerWheel wheel{kStart};
  auto victim = std::make_unique<Alarm>();
  auto self = std::make_unique<Alarm>();
  self->action = [&](Instant) {
    victim.reset();
    // The closure lives in *self: take what it refers to before it goes.
    auto& doomed = self;
    doomed.reset();
  };
  wheel.arm(self->timer, kStart + 1ms);
  wheel.arm(victim->timer, kStart + 2ms);
  EXPECT_EQ(wheel.run(kStart + 5ms), 1u);
  EXPECT_EQ(victim, nullptr);
  EXPECT_EQ(self, nullptr);
  EXPECT_EQ(wheel.size(), 0u);
}

TEST(TimerWheel, CallbackSeesTheDeadlinesOfThoseStillToBeCalled) {
  TimerWheel wheel{kStart};
  Instant seen = kNever;
  Alarm first{[&](Instant) { seen = wheel.next_deadline(); }};
  Alarm second;
  wheel.arm(first.timer, kStart + 1ms);
  wheel.arm(second.timer, kStart + 2ms);
  wheel.run(kStart + 5ms);
  EXPECT_EQ(seen, kStart + 2ms);
  EXPECT_EQ(wheel.next_deadline(), kNever);
}

TEST(TimerWheel, DestroyedWheelDisarmsItsTimers) {
  Alarm near;
  Alarm far;
  {
    TimerWheel wheel{kStart};
    wheel.arm(near.timer, kStart + 1ms);
    wheel.arm(far.timer, kStart + 1000h);
  }
  EXPECT_FALSE(near.timer.armed());
  EXPECT_FALSE(far.timer.armed());
}

TEST(TimerWheel, DestroyedTimerIsForgotten) {
  TimerWheel wheel{kStart};
  {
    Alarm alarm;
    wheel.arm(alarm.timer, kStart + 1ms);
  }
  EXPECT_EQ(wheel.size(), 0u);
  EXPECT_EQ(wheel.next_deadline(), kNever);
  EXPECT_EQ(wheel.run(kStart + 1s), 0u);
}

TEST(TimerWheel, TimerArmedForNeverStaysBehindYearsOfOthers) {
  TimerWheel wheel{kStart};
  Alarm never;
  Alarm year;
  wheel.arm(never.timer, kNever);
  wheel.arm(year.timer, kStart + 24h * 365);
  EXPECT_EQ(wheel.next_deadline(), kStart + 24h * 365);
  EXPECT_EQ(wheel.run(kStart + 24h * 400), 1u);
  EXPECT_TRUE(never.fired.empty());
  EXPECT_EQ(wheel.next_deadline(), kNever);
  EXPECT_EQ(wheel.size(), 1u);
}

TEST(TimerWheel, TimeThatGoesBackFiresNothingEarly) {
  TimerWheel wheel{kStart};
  wheel.run(kStart + 1s);
  Alarm alarm;
  wheel.arm(alarm.timer, kStart + 999ms);
  EXPECT_EQ(wheel.run(kStart + 500ms), 0u);
  EXPECT_EQ(wheel.run(kStart + 1s), 1u);
}

}  // namespace
}  // namespace millrace
