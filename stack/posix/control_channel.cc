#include "posix/control_channel.h"

#include <errno.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "posix/system.h"

namespace millrace::posix {

ControlWait wait_for(int fd, short events, int stop, Instant deadline) {
  for (;;) {
    std::array<pollfd, 2> fds{{{fd, events, 0}, {stop, POLLIN, 0}}};
    const Instant now = clock_now();
    if (now >= deadline) return ControlWait::kTimeout;
    // The kernel writes what is left of it back.
    timespec left = to_timespec(deadline - now);
    const long ready = sys::poll_until(fds.data(), fds.size(), deadline == kNever ? nullptr : &left);
    if (ready < 0 && ready != -EINTR) return ControlWait::kStop;
    if (ready <= 0) continue;
    return fds[1].revents != 0 ? ControlWait::kStop : ControlWait::kReady;
  }
}

ControlChannel::Read ControlChannel::read_line(std::string& line) {
  const Instant deadline = clock_now() + kRequestTime;
  line.clear();
  for (;;) {
    std::array<char, kLongestRequest> piece;
    const long got = sys::recv(fd_, piece.data(), piece.size(), 0);
    if (got == 0) return Read::kGone;
    if (got < 0) {
      if (got == -EINTR) continue;
      if (got != -EAGAIN || wait_for(fd_, POLLIN, stop_, deadline) != ControlWait::kReady) return Read::kGone;
      continue;
    }
    line.append(piece.data(), static_cast<std::size_t>(got));
    const std::size_t end = line.find('\n');
    if (end == std::string::npos ? line.size() >= kLongestRequest : end >= kLongestRequest)
      return Read::kTooLong;
    if (end == std::string::npos) continue;
    line.resize(end);
    return Read::kLine;
  }
}

bool ControlChannel::write(std::string_view text) {
  if (answer_deadline_ == kNever) answer_deadline_ = clock_now() + kAnswerTime;
  while (!text.empty()) {
    const long sent = sys::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      text.remove_prefix(static_cast<std::size_t>(sent));
      continue;
    }
    if (sent == -EINTR) continue;
    const Instant deadline = std::min(answer_deadline_, clock_now() + kStallTime);
    if (sent != -EAGAIN || wait_for(fd_, POLLOUT, stop_, deadline) != ControlWait::kReady) return false;
  }
  return clock_now() < answer_deadline_;
}

}  // namespace millrace::posix
