#include "support/simulator_app.h"

#include <algorithm>
#include <sstream>

namespace millrace::test {

namespace {

constexpr int kCallsPerTurn = 64;  // so that one connection does not hold the others up

std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

}  // namespace

void fill_pattern(std::uint64_t stream, std::uint64_t position, std::span<std::uint8_t> out) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint64_t at = position + i;
    if (i == 0 || at % 8 == 0) word = mix(stream ^ (at / 8));
    out[i] = static_cast<std::uint8_t>(word >> (8 * (at % 8)));
  }
}

SimulatedApp::SimulatedApp(std::uint64_t pattern_in, std::uint64_t pattern_out, const AppPlan& plan,
                           std::uint64_t seed)
    : pattern_in_(pattern_in), pattern_out_(pattern_out), plan_(plan), rng_(seed) {}

void SimulatedApp::start(std::unique_ptr<Socket> socket, bool connecting, Instant now) {
  socket_ = std::move(socket);
  socket_->user = this;
  started_ = true;
  connecting_ = connecting;
  if (plan_.no_delay) static_cast<void>(socket_->set_option(SocketOption::kNoDelay, 1, now));
  static_cast<void>(socket_->set_option(SocketOption::kCongestion, plan_.congestion, now));
}

Instant SimulatedApp::wake_at() const {
  if (socket_ == nullptr || connecting_) return kNever;
  Instant at = close_at_;
  const bool may_write = !shut_ && !write_blocked_ && (!plan_.send_after_end_of_file || end_of_file_);
  if (may_write) at = std::min(at, write_at_);
  if (!end_of_file_ && !read_blocked_) at = std::min(at, read_at_);
  return at;
}

Duration SimulatedApp::pause() {
  const auto most = static_cast<std::uint32_t>(std::max<std::int64_t>(1, to_ms(plan_.longest_pause)));
  return std::chrono::milliseconds(1 + rng_.below(most));
}

void SimulatedApp::run(Instant now) {
  if (socket_ == nullptr) return;
  const Ready events = socket_->take_events();
  if ((events & (kWritable | kError | kHangup)) != 0) write_blocked_ = false;
  if ((events & (kReadable | kError | kHangup | kReadHangup)) != 0) read_blocked_ = false;
  if (connecting_) {
    if ((events & (kWritable | kError)) == 0) return;
    connecting_ = false;
    if (const Error error = socket_->take_error(); error != Error::kNone) {
      fail(error, now);
      return;
    }
  }
  if (close_at_ <= now) {
    finish(now, false);
    return;
  }
  write_some(now);
  if (socket_ != nullptr) read_some(now);
  if (socket_ != nullptr) write_some(now);  // the end of file may have allowed it
  if (socket_ != nullptr && shut_ && end_of_file_ && close_at_ == kNever) {
    close_at_ = now + (rng_.chance(0.3) ? pause() : Duration{0});
    if (close_at_ <= now) finish(now, false);
  }
}

void SimulatedApp::write_some(Instant now) {
  if (plan_.send_after_end_of_file && !end_of_file_) return;
  for (int call = 0; call < kCallsPerTurn && !shut_ && !write_blocked_ && write_at_ <= now; ++call) {
    if (sent_ >= plan_.abort_at) {
      static_cast<void>(socket_->set_option(SocketOption::kLinger, 0, now));
      finish(now, true);
      return;
    }
    if (sent_ == plan_.bytes) {
      static_cast<void>(socket_->shutdown(Shutdown::kWrite, now));
      shut_ = true;
      return;
    }
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(
        1 + rng_.below(plan_.write_chunk), std::min(plan_.bytes, plan_.abort_at) - sent_));
    buffer_.resize(std::max(buffer_.size(), n));
    fill_pattern(pattern_out_, sent_, std::span{buffer_}.first(n));
    // Two slices, as writev() gives them.
    const std::size_t cut = rng_.below(static_cast<std::uint32_t>(n) + 1);
    const ConstIoSlice slices[2] = {{buffer_.data(), cut}, {buffer_.data() + cut, n - cut}};
    SendFlags flags;
    flags.more = rng_.chance(plan_.more);
    const auto result = socket_->send(slices, nullptr, flags, now);
    if (!result) {
      if (result.error() == Error::kAgain) {
        write_blocked_ = true;
      } else {
        fail(result.error(), now);
      }
      return;
    }
    if (*result == 0 || *result > n) complaint_ = "send() returned " + std::to_string(*result);
    sent_ += *result;
    if (rng_.chance(plan_.write_pause)) write_at_ = now + pause();
  }
  // Still willing: wake_at() names a time that has come, so the next turn goes on.
}

void SimulatedApp::read_some(Instant now) {
  for (int call = 0; call < kCallsPerTurn && !end_of_file_ && !read_blocked_ && read_at_ <= now; ++call) {
    const std::size_t n = 1 + rng_.below(plan_.read_chunk);
    buffer_.resize(std::max(buffer_.size(), n));
    const IoSlice slice{buffer_.data(), n};
    const bool peek = rng_.chance(plan_.peek);
    const auto result = socket_->receive({&slice, 1}, {.peek = peek}, now);
    if (!result) {
      if (result.error() == Error::kAgain) {
        read_blocked_ = true;
      } else {
        fail(result.error(), now);
      }
      return;
    }
    check(std::span{buffer_}.first(result->bytes), received_);
    if (peek) continue;
    received_ += result->bytes;
    if (received_ > plan_.expected) complaint_ = "more bytes came than were sent";
    if (result->bytes == 0) {
      end_of_file_ = true;
      return;
    }
    if (received_ >= plan_.leave_at) {
      finish(now, true);
      return;
    }
    if (rng_.chance(plan_.read_pause)) read_at_ = now + pause();
  }
}

void SimulatedApp::check(std::span<const std::uint8_t> bytes, std::uint64_t position) {
  std::vector<std::uint8_t> wanted(bytes.size());
  fill_pattern(pattern_in_, position, wanted);
  const auto [got, want] = std::mismatch(bytes.begin(), bytes.end(), wanted.begin());
  if (got != bytes.end() && complaint_.empty()) {
    complaint_ = "wrong byte at position " +
                 std::to_string(position + static_cast<std::uint64_t>(got - bytes.begin()));
  }
}

void SimulatedApp::finish(Instant now, bool early) {
  left_early_ = left_early_ || early;
  socket_->close(now);
  socket_.reset();
}

void SimulatedApp::fail(Error error, Instant now) {
  error_ = error;
  finish(now, false);
}

std::string SimulatedApp::to_string() const {
  std::ostringstream text;
  text << "sent " << sent_ << '/' << plan_.bytes << " received " << received_ << '/' << plan_.expected
       << (connecting_ ? " connecting" : "") << (shut_ ? " shut" : "") << (end_of_file_ ? " eof" : "")
       << (write_blocked_ ? " write-blocked" : "") << (read_blocked_ ? " read-blocked" : "")
       << (finished() ? " finished" : "") << (left_early_ ? " left early" : "");
  if (error_ != Error::kNone) text << " error: " << millrace::to_string(error_);
  return text.str();
}

}  // namespace millrace::test
