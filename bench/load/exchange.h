#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "load.h"

namespace millrace::load {

/// A connection with one request out at a time, and what has come of its answer.
class Exchange {
 public:
  explicit Exchange(std::size_t size) : request_(size, 0x5a), answer_(size) {}

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// The connection; the one before it is closed.
  void connect(Descriptor fd) { fd_ = std::move(fd); }
  void close() { fd_.reset(); }

  /// Sends the next request. It carries its number, so that a stale answer is not taken for a fresh one.
  void ask(const Options& options, int flags, Clock::time_point now = Clock::now()) {
    number_request(request_, n_++);
    have_ = 0;
    sent_at = now;
    send_all(options, fd_.get(), request_.data(), request_.size(), flags);
  }
  enum class Read : std::uint8_t { kNothing, kPart, kAll };
  /// Reads what there is of the answer.
  Read read(const Options& options, int flags) {
    const ssize_t got = options.api->recv(fd_.get(), answer_.data() + have_, answer_.size() - have_, flags);
    if (got == 0) throw Failure("the server closed a connection");
    if (got < 0) {
      if (errno != EAGAIN && errno != EINTR) fail_with_errno("recv");
      return Read::kNothing;
    }
    have_ += static_cast<std::size_t>(got);
    return have_ < answer_.size() ? Read::kPart : Read::kAll;
  }
  /// Precondition: all of the answer was read.
  [[nodiscard]] bool intact() const { return answer_ == request_; }
  [[nodiscard]] static constexpr std::uint64_t requests() { return 1; }

  Clock::time_point sent_at;

 private:
  Descriptor fd_;
  std::vector<unsigned char> request_, answer_;
  std::size_t have_ = 0;
  std::uint64_t n_ = 0;
};

}  // namespace millrace::load
