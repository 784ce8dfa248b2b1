#include "posix/system.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>

namespace millrace::posix::sys {

namespace {

constexpr int kTracked = 1 << 16;
std::array<std::atomic<std::uint64_t>, kTracked / 64> own_bits{};

/// Where own descriptors start: below what select(2) can hold and what the process may open, by a little.
int first_own() {
  rlimit limit{};
  if (call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, word(&limit)) != 0) return 256;
  constexpr rlim_t kHighest = 1024, kRoom = 96;
  const rlim_t top = std::min(limit.rlim_cur, kHighest);
  return top > 2 * kRoom ? static_cast<int>(top - kRoom) : static_cast<int>(top / 2);
}

std::uint64_t bit_of(int fd) {
  return std::uint64_t{1} << (fd % 64);
}

}  // namespace

Ppoll cancellable_ppoll = &::ppoll;

void mark_own(int fd) {
  if (fd < kTracked)
    own_bits[static_cast<std::size_t>(fd / 64)].fetch_or(bit_of(fd), std::memory_order_relaxed);
}

long keep_own(long fd) {
  if (fd < 0) return fd;
  const long moved = fcntl(static_cast<int>(fd), F_DUPFD_CLOEXEC, first_own());
  if (moved >= 0) {
    close(static_cast<int>(fd));
    fd = moved;
  }
  mark_own(static_cast<int>(fd));
  return fd;
}

bool is_own(int fd) {
  return fd >= 0 && fd < kTracked &&
         (own_bits[static_cast<std::size_t>(fd / 64)].load(std::memory_order_relaxed) & bit_of(fd)) != 0;
}

int next_own(int fd) {
  for (std::size_t at = static_cast<std::size_t>(std::max(fd, 0)); at < kTracked; at = (at / 64 + 1) * 64) {
    const std::uint64_t rest =
        own_bits[at / 64].load(std::memory_order_relaxed) & (~std::uint64_t{0} << (at % 64));
    if (rest != 0) return static_cast<int>(at / 64 * 64) + std::countr_zero(rest);
  }
  return -1;
}

void give_away_own(int fd) {
  if (fd >= 0 && fd < kTracked)
    own_bits[static_cast<std::size_t>(fd / 64)].fetch_and(~bit_of(fd), std::memory_order_relaxed);
}

void close_own(int fd) {
  give_away_own(fd);
  close(fd);
}

}  // namespace millrace::posix::sys
