#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <string_view>
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
  EXPECT_TRUE(take_wake(fd.get()));
  EXPECT_FALSE(is_readable(fd.get()));
}

TEST(DpdkWakeFd, WaitsForNone) {
  const UniqueFd fd = waiting_eventfd();
  EXPECT_TRUE(take_wake(fd.get()));
  EXPECT_FALSE(is_readable(fd.get()));
  EXPECT_FALSE(is_readable(-1));
  EXPECT_TRUE(take_wake(-1));
}

TEST(DpdkWakeFd, WaitsForNoneThatAnotherTakesMeanwhile) {
  const UniqueFd fd = waiting_eventfd();
  std::atomic<bool> ended{false};
  std::thread other([&] {
    while (!ended.load()) (void)take_wake(fd.get());
  });
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_EQ(::eventfd_write(fd.get(), 1), 0);
    EXPECT_TRUE(take_wake(fd.get()));
  }
  ended.store(true);
  other.join();
  EXPECT_FALSE(is_readable(fd.get()));
}

TEST(DpdkWakeFd, TellsOfAFileWhoseReadersCannotButWait) {
  const UniqueFd terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_EQ(::unlockpt(terminal.get()), 0);
  std::array<char, 64> name;
  ASSERT_EQ(::ptsname_r(terminal.get(), name.data(), name.size()), 0);
  const UniqueFd other(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  constexpr std::string_view kCount = "12345678";
  ASSERT_EQ(::write(other.get(), kCount.data(), kCount.size()), static_cast<ssize_t>(kCount.size()));
  while (!is_readable(terminal.get())) std::this_thread::yield();
  std::array<char, 1> byte;
  const iovec to{byte.data(), byte.size()};
  if (::preadv2(terminal.get(), &to, 1, -1, RWF_NOWAIT) >= 0) GTEST_SKIP() << "terminals here need not wait";
  EXPECT_FALSE(take_wake(terminal.get()));
  EXPECT_TRUE(is_readable(terminal.get()));
}

}  // namespace
}  // namespace millrace::drivers::dpdk
