#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "dpdk/wake_fd.h"
#include "unique_fd.h"

namespace millrace::drivers::dpdk {
namespace {

/// One whose reader waits, as a peer may have made it.
UniqueFd waiting_eventfd() {
  return UniqueFd(::eventfd(0, EFD_CLOEXEC));
}

TEST(DpdkWakeFd, TakesAllWakesAtOnce) {
  const UniqueFd fd = waiting_eventfd();
  ASSERT_EQ(::eventfd_write(fd.get(), 1), 0);
  ASSERT_EQ(::eventfd_write(fd.get(), 2), 0);
  EXPECT_TRUE(is_readable(fd.get()));
  take_wake(fd.get());
  EXPECT_FALSE(is_readable(fd.get()));
}

TEST(DpdkWakeFd, WaitsForNone) {
  const UniqueFd fd = waiting_eventfd();
  take_wake(fd.get());
  EXPECT_FALSE(is_readable(fd.get()));
  EXPECT_FALSE(is_readable(-1));
  take_wake(-1);
}

TEST(DpdkWakeFd, WaitsForNoneThatAnotherTakesMeanwhile) {
  const UniqueFd fd = waiting_eventfd();
  std::atomic<bool> ended{false};
  std::thread other([&] {
    while (!ended.load()) take_wake(fd.get());
  });
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_EQ(::eventfd_write(fd.get(), 1), 0);
    take_wake(fd.get());
  }
  ended.store(true);
  other.join();
  EXPECT_FALSE(is_readable(fd.get()));
}

TEST(DpdkWakeFd, TakesThoseOfFilesThatKnowOnlyHowToWait) {
  const UniqueFd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  const itimerspec soon{{0, 0}, {0, 1}};
  ASSERT_EQ(::timerfd_settime(fd.get(), 0, &soon, nullptr), 0);
  while (!is_readable(fd.get())) std::this_thread::yield();
  take_wake(fd.get());
  EXPECT_FALSE(is_readable(fd.get()));
}

}  // namespace
}  // namespace millrace::drivers::dpdk
