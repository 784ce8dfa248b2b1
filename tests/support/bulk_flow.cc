#include "support/bulk_flow.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/rng.h"
#include "tcp/congestion_list.h"

namespace millrace::test {

namespace {

constexpr std::size_t kSampleBytes = 64;
constexpr std::size_t kReadBytes = std::size_t{16} << 20;

}  // namespace

BulkPattern::BulkPattern() : bytes_(kPeriod + kLongest) {
  Rng rng(std::uint64_t{1});
  rng.fill(std::span{bytes_}.first(kPeriod));
  for (std::size_t i = kPeriod; i < bytes_.size(); ++i) bytes_[i] = bytes_[i - kPeriod];
}

void BulkFlow::connect(std::unique_ptr<Socket> socket, const Endpoint& to, std::uint32_t unsent,
                       Instant now) {
  started_ = true;
  sender_ = std::move(socket);
  if (!spec_.congestion.empty()) {
    const auto index = tcp::find_congestion(spec_.congestion);
    if (!index ||
        !sender_->set_option(SocketOption::kCongestion, static_cast<std::int64_t>(*index), now).ok())
      complain("no congestion control " + spec_.congestion);
  }
  static_cast<void>(sender_->set_option(SocketOption::kNotSentLowWater, unsent, now));
  if (sender_->connect(to, now).error() != Error::kInProgress) complain("connect() failed");
  client_ = sender_->local_endpoint();
}

void BulkFlow::accept(std::unique_ptr<Socket> socket, Instant now) {
  accepted_ = true;
  receiver_ = std::move(socket);
  if (aborted_) abort(now);
}

TcpInfo BulkFlow::info(Instant now) const {
  TcpInfo info = last_info_;
  if (sender_ != nullptr) static_cast<void>(sender_->tcp_info(info, now));
  return info;
}

void BulkFlow::close_sender(Instant now) {
  static_cast<void>(sender_->tcp_info(last_info_, now));
  sender_->close(now);
  sender_.reset();
}

void BulkFlow::run_sender(Instant now) {
  if (sender_ == nullptr) return;
  const Ready events = sender_->take_events();
  if (const Error error = sender_->take_error(); error != Error::kNone) {
    complain("the sender got an error: " + std::string(to_string(error)));
    close_sender(now);
    return;
  }
  if ((events & kWritable) != 0) connected_ = true;
  if (!connected_) return;
  write(now);
  if (!shut_) return;
  std::uint8_t byte = 0;
  const IoSlice slice{&byte, 1};
  const auto got = sender_->receive({&slice, 1}, {}, now);
  if (got && got->bytes != 0) complain("the receiver sent nothing, and yet something came");
  if (got && got->bytes == 0) close_sender(now);  // all of ours has arrived
}

void BulkFlow::write(Instant now) {
  while (!shut_) {
    std::size_t n = BulkPattern::kLongest;
    if (spec_.bytes != 0) n = static_cast<std::size_t>(std::min<std::uint64_t>(n, spec_.bytes - sent_));
    if (stopped_ || n == 0) {
      static_cast<void>(sender_->shutdown(Shutdown::kWrite, now));
      shut_ = true;
      return;
    }
    const ConstIoSlice slice{pattern_.at(offset_ + sent_), n};
    const auto took = sender_->send({&slice, 1}, nullptr, {}, now);
    if (!took) {
      if (took.error() != Error::kAgain) complain("send(): " + std::string(to_string(took.error())));
      return;
    }
    if (*took == 0 || *took > n) complain("send() took " + std::to_string(*took));
    sent_ += *took;
  }
}

void BulkFlow::compare(const std::uint8_t* bytes, std::size_t count, std::uint64_t position) {
  if (std::memcmp(bytes, pattern_.at(offset_ + position), count) != 0)
    complain("wrong bytes at position " + std::to_string(position));
}

void BulkFlow::run_receiver(Instant now) {
  if (receiver_ == nullptr) return;
  static_cast<void>(receiver_->take_events());
  std::array<std::uint8_t, 16384> buffer;
  bool sample = true;
  while (true) {
    const bool look = sample || verify_ == Verify::kAll;
    const IoSlice slice{buffer.data(), !look                     ? kReadBytes
                                       : verify_ == Verify::kAll ? buffer.size()
                                                                 : kSampleBytes};
    const auto got = receiver_->receive({&slice, 1}, {.discard = !look}, now);
    if (!got) {
      if (got.error() != Error::kAgain) complain("receive(): " + std::string(to_string(got.error())));
      if (got.error() != Error::kAgain) receiver_.reset();
      return;
    }
    if (got->bytes == 0) {
      end_of_file_ = true;
      completed_at_ = now;
      if (received_ != sent_) complain("the stream ended early");
      receiver_->close(now);
      receiver_.reset();
      return;
    }
    if (look) compare(buffer.data(), got->bytes, received_);
    sample = false;
    received_ += got->bytes;
    if (received_ > sent_) complain("more arrived than was sent");
  }
}

void BulkFlow::stop(Instant now) {
  stopped_ = true;
  if (sender_ != nullptr && connected_) write(now);
}

void BulkFlow::abort(Instant now) {
  if (sender_ != nullptr) {
    static_cast<void>(sender_->set_option(SocketOption::kLinger, 0, now));
    close_sender(now);
  }
  if (receiver_ != nullptr) {
    static_cast<void>(receiver_->set_option(SocketOption::kLinger, 0, now));
    receiver_->close(now);
    receiver_.reset();
  }
  started_ = aborted_ = true;
}

}  // namespace millrace::test
