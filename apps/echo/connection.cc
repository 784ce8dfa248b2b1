#include "connection.h"

#include <algorithm>
#include <array>
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

std::vector<unsigned char>* make_pattern() {
  auto* const made = new std::vector<unsigned char>;
  std::vector<unsigned char>& pattern = *made;
  pattern.reserve(kWrite + kPeriod);
  for (unsigned start = 0; pattern.size() < kWrite + kPeriod; start = (start + 1) % kPrintable) {
    for (unsigned i = 0; i < kLine; ++i) {
      pattern.push_back(static_cast<unsigned char>(kFirst + (start + i) % kPrintable));
    }
    pattern.push_back('\r');
    pattern.push_back('\n');
  }
  return made;
}

const std::vector<unsigned char>& the_pattern() {
  static const std::vector<unsigned char>* const pattern = make_pattern();
  return *pattern;
}

}  // namespace

Shared::Shared(apps::EventLoop& event_loop, bool lend)
    : loop(event_loop), zero_copy(lend), scratch(kScratch), pattern(the_pattern()) {}

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
    const Progress progress = receive_and_forget();
    if (progress == Progress::kEnd) return false;
    if (progress == Progress::kIdle) break;
  }
  return true;
}

bool Connection::serve_chargen(bool readable) {
  if (readable && !serve_discard()) return false;
  for (int turn = 0; turn < kTurns; ++turn) {
    std::size_t sent = 0;
    const Progress progress = transmit(shared_.pattern.data() + pattern_offset_, kWrite, sent, true);
    pattern_offset_ = (pattern_offset_ + sent) % kPeriod;
    if (progress == Progress::kEnd) return false;
    if (progress == Progress::kBlocked) break;
  }
  return true;
}

Connection::Progress Connection::receive(std::size_t& length) {
  const std::size_t room = shared_.counters.pending_bytes < kPlentyHeld ? shared_.scratch.size() : kLittle;
  return received(shared_.loop.api().recv(fd_, shared_.scratch.data(), room, MSG_DONTWAIT), length);
}

Connection::Progress Connection::receive_and_forget() {
  std::size_t length = 0;
  if (!shared_.zero_copy) return receive(length);
  std::array<iovec, 16> slices;
  int count = slices.size();
  mr_loan* loan = nullptr;
  const apps::SocketApi& api = shared_.loop.api();
  const ssize_t got = api.recv_zc(fd_, slices.data(), &count, MSG_DONTWAIT, &loan);
  if (got < 0 && errno == ENOBUFS) return receive(length);
  api.give_back(loan);
  return received(got, length);
}

Connection::Progress Connection::received(ssize_t got, std::size_t& length) {
  if (got > 0) {
    length = static_cast<std::size_t>(got);
    shared_.counters.bytes_in += length;
    return Progress::kMore;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Progress::kIdle;
  if (got < 0) ++shared_.counters.reset;
  return Progress::kEnd;
}

Connection::Progress Connection::transmit(const unsigned char* data, std::size_t length, std::size_t& sent,
                                          bool lasting) {
  while (sent < length) {
    const ssize_t taken = send_some(data + sent, length - sent, lasting);
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

ssize_t Connection::send_some(const unsigned char* data, std::size_t length, bool lasting) {
  const apps::SocketApi& api = shared_.loop.api();
  if (!lasting || !shared_.zero_copy) return api.send(fd_, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  const iovec slice{const_cast<unsigned char*>(data), length};  // NOLINT: struct iovec has no const
  return api.send_zc(
      fd_, &slice, 1, MSG_DONTWAIT | MSG_NOSIGNAL, [](void*) {}, nullptr);
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
