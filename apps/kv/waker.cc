#include "waker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "common/system_error.h"

namespace millrace::kv {

Waker::Waker() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (fd_ < 0) apps::throw_errno("eventfd");
}

Waker::~Waker() {
  close(fd_);
}

void Waker::on_event(std::uint32_t /*events*/) {
  std::uint64_t rings = 0;
  static_cast<void>(read(fd_, &rings, sizeof rings));
}

void Waker::ring() const {
  const std::uint64_t once = 1;
  static_cast<void>(write(fd_, &once, sizeof once));
}

}  // namespace millrace::kv
