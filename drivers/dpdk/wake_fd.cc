#include "dpdk/wake_fd.h"

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace millrace::drivers::dpdk {

bool is_readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return fd >= 0 && ::poll(&one, 1, 0) == 1;
}

void take_wake(int fd) {
  if (!is_readable(fd)) return;
  std::uint64_t count = 0;
  const iovec to{&count, sizeof count};
  // Not every file knows how not to wait; those that do not are not shared with others.
  if (::preadv2(fd, &to, 1, -1, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP)
    (void)!::read(fd, &count, sizeof count);
}

}  // namespace millrace::drivers::dpdk
