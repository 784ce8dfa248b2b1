#include "dpdk/wake_fd.h"

#include <poll.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstdint>

namespace millrace::drivers::dpdk {

bool is_readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return fd >= 0 && ::poll(&one, 1, 0) == 1;
}

bool take_wake(int fd) {
  std::uint64_t count = 0;
  const iovec to{&count, sizeof count};
  return ::preadv2(fd, &to, 1, -1, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP;
}

}  // namespace millrace::drivers::dpdk
