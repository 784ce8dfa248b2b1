#include "common/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

#include "common/system_error.h"

namespace millrace::apps {

namespace {
sigset_t set_of(std::span<const int> numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : numbers) sigaddset(&set, number);
  return set;
}
}  // namespace

void block_signals(std::span<const int> numbers) {
  const sigset_t set = set_of(numbers);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) throw_errno("sigprocmask");
}

Signals::Signals(EventLoop& loop, std::span<const int> numbers, std::function<void(int)> came)
    : came_(std::move(came)), fd_(-1) {
  block_signals(numbers);
  const sigset_t set = set_of(numbers);
  fd_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd_ < 0) throw_errno("signalfd");
  loop.add(fd_, *this, EPOLLIN);
}

Signals::~Signals() {
  close(fd_);
}

void Signals::on_event(std::uint32_t /*events*/) {
  signalfd_siginfo info{};
  while (read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    came_(static_cast<int>(info.ssi_signo));
  }
}

}  // namespace millrace::apps
