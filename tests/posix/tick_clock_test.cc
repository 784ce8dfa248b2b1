#include "posix/tick_clock.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "posix/clock.h"

namespace millrace::posix::test {

namespace {

/// A kernel's clock and a counter, which go as the test says. Those of other processors are ahead of it.
struct Scripted {
  static inline Instant time;
  static inline std::uint32_t on;  ///< which processor
  static inline std::uint64_t ahead;
  static inline std::function<void()> after_processor;  ///< was told
  static inline std::uint64_t count;
  static inline Duration reading;  ///< the kernel's clock takes so long
  static inline double hertz;
  static inline bool allowed;
  static inline std::function<void()> while_reading;
  static inline int asked, questions;  ///< the kernel for the time; whether the counter may be used

  static void reset() {
    time = kEpoch + 100s;
    count = 77;
    on = 0;
    ahead = 12'345'678;
    after_processor = while_reading = nullptr;
    reading = 20ns;
    hertz = 2.6e9;
    allowed = true;
    asked = questions = 0;
  }
  static void pass(Duration d) {
    time += d;
    count += static_cast<std::uint64_t>(static_cast<double>(d.count()) * hertz / 1e9);
  }

  static std::uint64_t ticks() { return count + on * ahead; }
  static std::uint32_t processor() {
    const std::uint32_t told = on;
    if (after_processor) after_processor();
    return told;
  }
  static Instant kernel() {
    ++asked;
    pass(reading / 2);
    const Instant result = time;
    if (while_reading) while_reading();
    pass(reading / 2);
    return result;
  }
  static bool trusted() {
    ++questions;
    return allowed;
  }
};

class TickClockTest : public testing::Test {
 protected:
  using Clock = TickClock<Scripted>;
  TickClockTest() { Scripted::reset(); }

  /// Two comparisons that agree, and what comes before them.
  void settle() {
    for (int i = 0; i < 4; ++i) {
      (void)clock.now();
      Scripted::pass(Clock::kStride);
    }
    (void)clock.now();
    Scripted::asked = 0;
  }
  [[nodiscard]] Duration off() { return clock.now() - Scripted::time; }
  static constexpr Duration kNoise = 50ns;

  /// As fork(2) leaves it.
  class Copy {
   public:
    explicit Copy(const Clock& original) { std::memcpy(bytes_, &original, sizeof original); }
    [[nodiscard]] Clock& get() { return *std::launder(reinterpret_cast<Clock*>(bytes_)); }

   private:
    alignas(Clock) unsigned char bytes_[sizeof(Clock)];
  };

  Clock clock;
  std::unique_ptr<Copy> clock_of_child;
};

TEST_F(TickClockTest, CountsTicksBetweenComparisons) {
  settle();
  for (int i = 0; i < 90; ++i) {
    Scripted::pass(10us);
    EXPECT_LE(std::chrono::abs(off()), kNoise) << i;
  }
  EXPECT_EQ(Scripted::asked, 0);
  Scripted::pass(100us + 1us);
  EXPECT_LE(std::chrono::abs(off()), kNoise);
  EXPECT_EQ(Scripted::asked, 1) << "once a stride";
}

TEST_F(TickClockTest, AsksTheKernelUntilTwoComparisonsAgree) {
  EXPECT_LE(std::chrono::abs(off()), kNoise);
  for (int i = 0; i < 20; ++i) {
    Scripted::pass(10us);
    EXPECT_LE(std::chrono::abs(off()), kNoise);
  }
  EXPECT_EQ(Scripted::asked, 21);
  EXPECT_EQ(Scripted::questions, 1);
}

TEST_F(TickClockTest, WhereTheCounterIsNotTrustedTheKernelIsAskedAlways) {
  Scripted::allowed = false;
  settle();
  for (int i = 0; i < 10; ++i) EXPECT_LE(std::chrono::abs(off()), kNoise);
  EXPECT_EQ(Scripted::asked, 10);
  EXPECT_EQ(Scripted::questions, 1);
}

TEST_F(TickClockTest, AfterALongPauseTheKernelsTimeHolds) {
  settle();
  Scripted::pass(1h);
  EXPECT_LE(std::chrono::abs(off()), kNoise);
  Scripted::pass(500us);
  EXPECT_LE(std::chrono::abs(off()), kNoise);
  EXPECT_EQ(Scripted::asked, 1) << "the rate was the same all the time";
}

TEST_F(TickClockTest, FollowsAClockThatIsSlewed) {
  settle();
  Scripted::hertz *= 1.0005;
  for (int i = 0; i < 1000; ++i) {
    Scripted::pass(50us);
    EXPECT_LE(std::chrono::abs(off()), 600ns) << i;
  }
  EXPECT_LE(Scripted::asked, 52);
}

TEST_F(TickClockTest, ACounterThatJumpsIsLeftAloneUntilItGoesAsBefore) {
  for (const std::int64_t jump : {std::int64_t{-1'000'000'000}, std::int64_t{1'000'000'000}}) {
    settle();
    Scripted::count += static_cast<std::uint64_t>(jump);
    for (int i = 0; i < 8; ++i) {
      Scripted::pass(250us);
      EXPECT_LE(std::chrono::abs(off()), kNoise) << jump << ' ' << i;
    }
    EXPECT_GE(Scripted::asked, 4);
    settle();
    for (int i = 0; i < 9; ++i) {
      Scripted::pass(100us);
      EXPECT_LE(std::chrono::abs(off()), kNoise);
    }
    EXPECT_EQ(Scripted::asked, 0);
  }
}

TEST_F(TickClockTest, ACounterOfAnotherRateIsMeasuredAnew) {
  settle();
  Scripted::hertz = 3.1e9;
  Scripted::pass(Clock::kStride);
  EXPECT_LE(std::chrono::abs(off()), kNoise);
  settle();
  Scripted::pass(900us);
  EXPECT_LE(std::chrono::abs(off()), kNoise);
  EXPECT_EQ(Scripted::asked, 0);
}

TEST_F(TickClockTest, AComparisonThatWasInterruptedSaysNothing) {
  settle();
  Scripted::pass(Clock::kStride);
  Scripted::reading = 300us;
  const Instant before = Scripted::time;
  const Instant told = clock.now();
  EXPECT_GE(told, before);
  EXPECT_LE(told, Scripted::time);
  Scripted::reading = 20ns;
  Scripted::pass(Clock::kStride);
  EXPECT_LE(std::chrono::abs(off()), kNoise);
  Scripted::pass(900us);
  EXPECT_LE(std::chrono::abs(off()), kNoise);
  EXPECT_EQ(Scripted::asked, 2);
}

TEST_F(TickClockTest, NeverRunsBackwards) {
  settle();
  Instant last = clock.now();
  for (int i = 0; i < 100'000; ++i) {
    Scripted::hertz = 2.6e9 * (1 + (i / 100 % 2 == 0 ? 4e-4 : -4e-4));
    Scripted::pass(Duration(1 + i % 977));
    const Instant now = clock.now();
    ASSERT_GE(now, last) << i;
    last = now;
  }
}

TEST_F(TickClockTest, EachProcessorsCounterIsComparedByItself) {
  for (Scripted::on = 0; Scripted::on < 3; ++Scripted::on) {
    EXPECT_LE(std::chrono::abs(off()), kNoise);
    settle();
  }
  for (int i = 0; i < 60; ++i) {
    Scripted::on = static_cast<std::uint32_t>(i) % 3;
    Scripted::pass(10us);
    EXPECT_LE(std::chrono::abs(off()), kNoise) << i;
  }
  EXPECT_LE(Scripted::asked, 2) << "of those that had not been asked for long";
}

TEST_F(TickClockTest, WhereTheProcessorIsNotKnownTheKernelIsAsked) {
  settle();
  for (const std::uint32_t unknown : {Clock::kProcessors, ~std::uint32_t{0}}) {
    Scripted::on = unknown;
    Scripted::pass(10us);
    EXPECT_LE(std::chrono::abs(off()), kNoise);
  }
  EXPECT_EQ(Scripted::asked, 2);
}

TEST_F(TickClockTest, WhoComesToAnotherProcessorMeanwhileAsksTheKernel) {
  Scripted::ahead = 260'000;  // 100 us: as if it were the time since the last comparison
  settle();
  Scripted::after_processor = [] { Scripted::on = 1; };
  EXPECT_LE(std::chrono::abs(off()), kNoise);
  EXPECT_EQ(Scripted::asked, 1);
}

TEST_F(TickClockTest, AComparisonOnAnotherProcessorSaysNothing) {
  Scripted::ahead = -std::uint64_t{260'000};
  settle();
  Scripted::pass(1s);  // long enough for the difference to be small beside it
  int asked = 0;
  Scripted::after_processor = [&asked] { Scripted::on = ++asked == 2 ? 1 : 0; };
  EXPECT_LE(std::chrono::abs(off()), kNoise);
  EXPECT_GT(asked, 2);
  Scripted::after_processor = nullptr;
  Scripted::on = 0;
  for (int i = 0; i < 3; ++i) {
    Scripted::pass(100us);
    EXPECT_LE(std::chrono::abs(off()), kNoise);
  }
}

TEST_F(TickClockTest, ACounterThatGoesBackIsNotTrusted) {
  settle();
  for (int i = 0; i < 6; ++i) {
    Scripted::pass(Clock::kStride);
    Scripted::count -= 10'000'000;
    EXPECT_LE(std::chrono::abs(off()), kNoise);
  }
  EXPECT_EQ(Scripted::asked, 6);
  settle();
  Scripted::pass(500us);
  EXPECT_LE(std::chrono::abs(off()), kNoise);
  EXPECT_EQ(Scripted::asked, 0);
}

TEST_F(TickClockTest, AChildThatWasForkedAmidAComparisonGoesOn) {
  settle();
  Scripted::pass(Clock::kStride);
  Scripted::while_reading = [this] { clock_of_child = std::make_unique<Copy>(clock); };
  (void)clock.now();
  Scripted::while_reading = nullptr;
  Clock& child = clock_of_child->get();
  Scripted::asked = 0;
  (void)child.now();
  EXPECT_EQ(Scripted::asked, 1);
  child.after_fork_in_child();
  for (int i = 0; i < 4; ++i) {
    (void)child.now();
    Scripted::pass(Clock::kStride);
  }
  (void)child.now();
  Scripted::asked = 0;
  Scripted::pass(500us);
  EXPECT_LE(std::chrono::abs(child.now() - Scripted::time), kNoise);
  EXPECT_EQ(Scripted::asked, 0);
}

TEST(ProcessorTicks, KnowsTheProcessor) {
  if (ProcessorTicks::processor() >= TickClock<ProcessorTicks>::kProcessors)
    GTEST_SKIP() << "no rseq(2) here, or more processors";
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  for (std::uint32_t number = 0; number < CPU_SETSIZE; ++number) {
    if (!CPU_ISSET(number, &before)) continue;
    CPU_ZERO(&one);
    CPU_SET(number, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(ProcessorTicks::processor(), number);
  }
  EXPECT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

TEST(ClockNow, IsTheKernelsOfAllThreads) {
  std::vector<std::thread> threads;
  threads.reserve(4);
  std::atomic<int> wrong{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&wrong] {
      const Instant end = ProcessorTicks::kernel() + 20ms;
      for (Instant before = ProcessorTicks::kernel(); before < end;) {
        const Instant now = clock_now(), after = ProcessorTicks::kernel();
        if (now < before - 2us || now > after + 2us) ++wrong;
        before = after;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace

}  // namespace millrace::posix::test
