#include "connection.h"

#include <algorithm>
#include <cerrno>
#include <memory>

namespace millrace::echo {

namespace {

constexpr std::size_t kScratch = std::size_t{128} * 1024;
constexpr std::size_t kWrite = std::size_t{128} * 1024;
constexpr int kTurns = 8;  // reads or writes a connection gets before the others have their turn

// Held for slow readers in all; beyond it a connection reads, and so may have to hold, little at a time.
constexpr std::uint64_t kPlentyHeld = std::uint64_t{64} << 20;
constexpr std::size_t kLittle = 4096;

// RFC 864: 72 printable characters a line, each line starting one character later.
constexpr unsigned kFirst = 0x20, kPrintable = 95, kLine = 72;
constexpr std::size_t kPeriod = std::size_t{kPrintable} * (kLine + 2);

std::vector<unsigned char> make_pattern() {
  std::vector<unsigned char> pattern;
  pattern.reserve(kWrite + kPeriod);
  for (unsigned start = 0; pattern.size() < kWrite + kPeriod; start = (start + 1) % kPrintable) {
    for (unsigned i = 0; i < kLine; ++i) {
      pattern.push_back(static_cast<unsigned char>(kFirst + (start + i) % kPrintable));
    }
    pattern.push_back('\r');
    pattern.push_back('\n');
  }
  return pattern;
}

}  // namespace

Shared::Shared(apps::EventLoop& event_loop) : loop(event_loop), scratch(kScratch), pattern(make_pattern()) {}

Connection::Connection(Shared& shared, int fd, Service service)
    : shared_(shared),
      fd_(fd),
      service_(service),
      interest_(service == Service::kChargen ? EPOLLIN | EPOLLOUT : EPOLLIN) {
  shared_.loop.add(fd_, *this, interest_);
  ++shared_.counters.open;
}

Connection::~Connection() {
  shared_.counters.pending_bytes -= pending_.size();
  --shared_.counters.open;
  shared_.loop.api().close(fd_);
}

void Connection::on_event(std::uint32_t events) {
  if (!serve((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)) delete this;
}

void Connection::drain() {
  if (service_ != Service::kEcho || !serve(true)) delete this;
}

bool Connection::serve(bool readable) {
  switch (service_) {
    case Service::kEcho:
      return serve_echo(readable);
    case Service::kDiscard:
      return serve_discard();
    case Service::kChargen:
      return serve_chargen(readable);
  }
  return false;
}

bool Connection::serve_echo(bool readable) {
  if (!pending_.empty()) {
    const Progress progress = flush_pending();
    if (progress == Progress::kEnd) return false;
    if (progress == Progress::kBlocked) return true;
    readable = true;
  }
  for (int turn = 0; readable && (turn < kTurns || shared_.draining); ++turn) {
    std::size_t length = 0;
    const Progress progress = receive(length);
    if (progress == Progress::kIdle) {
      if (shared_.draining) return false;
      break;
    }
    if (progress == Progress::kEnd) return false;
    std::size_t sent = 0;
    const Progress outcome = transmit(shared_.scratch.data(), length, sent);
    if (outcome == Progress::kEnd) return false;
    if (outcome == Progress::kBlocked) {
      hold(shared_.scratch.data() + sent, length - sent);
      return true;
    }
    // Less than there was room for: that was all, and the next look would only cost a call.
    if (length < kLittle && !shared_.draining) break;
  }
  want(EPOLLIN);
  return true;
}

bool Connection::serve_discard() {
  for (int turn = 0; turn < kTurns; ++turn) {
    std::size_t length = 0;
    const Progress progress = receive(length);
    if (progress == Progress::kEnd) return false;
    if (progress == Progress::kIdle) break;
  }
  return true;
}

bool Connection::serve_chargen(bool readable) {
  if (readable && !serve_discard()) return false;
  for (int turn = 0; turn < kTurns; ++turn) {
    std::size_t sent = 0;
    const Progress progress = transmit(shared_.pattern.data() + pattern_offset_, kWrite, sent);
    pattern_offset_ = (pattern_offset_ + sent) % kPeriod;
    if (progress == Progress::kEnd) return false;
    if (progress == Progress::kBlocked) break;
  }
  return true;
}

Connection::Progress Connection::receive(std::size_t& length) {
  const std::size_t room = shared_.counters.pending_bytes < kPlentyHeld ? shared_.scratch.size() : kLittle;
  const ssize_t got = shared_.loop.api().recv(fd_, shared_.scratch.data(), room, MSG_DONTWAIT);
  if (got > 0) {
    length = static_cast<std::size_t>(got);
    shared_.counters.bytes_in += length;
    return Progress::kMore;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Progress::kIdle;
  if (got < 0) ++shared_.counters.reset;
  return Progress::kEnd;
}

Connection::Progress Connection::transmit(const unsigned char* data, std::size_t length, std::size_t& sent) {
  while (sent < length) {
    const ssize_t taken =
        shared_.loop.api().send(fd_, data + sent, length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return Progress::kBlocked;
      ++shared_.counters.reset;
      return Progress::kEnd;
    }
    sent += static_cast<std::size_t>(taken);
    shared_.counters.bytes_out += static_cast<std::uint64_t>(taken);
  }
  return Progress::kMore;
}

void Connection::hold(const unsigned char* data, std::size_t length) {
  pending_.assign(data, data + length);
  pending_offset_ = 0;
  shared_.counters.pending_bytes += length;
  ++shared_.counters.blocked;
  want(EPOLLOUT);
}

Connection::Progress Connection::flush_pending() {
  std::size_t sent = 0;
  const Progress progress =
      transmit(pending_.data() + pending_offset_, pending_.size() - pending_offset_, sent);
  pending_offset_ += sent;
  if (progress == Progress::kMore) {
    shared_.counters.pending_bytes -= pending_.size();
    std::vector<unsigned char>().swap(pending_);
  }
  return progress;
}

void Connection::want(std::uint32_t interest) {
  if (interest == interest_) return;
  interest_ = interest;
  shared_.loop.modify(fd_, *this, interest);
}

}  // namespace millrace::echo
