#include "conversation.h"

#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

namespace millrace::interop {

namespace {

constexpr std::uint64_t kSeed = 20;
constexpr std::size_t kBlock = std::size_t{64} * 1024;
constexpr int kCallSeconds = 60;

std::string describe(int error) {
  return error == 0 ? "success" : std::strerror(error);
}

}  // namespace

void fail_with_errno(std::string_view doing) {
  const int code = errno;
  throw Unexpected(std::string(doing) + ": " + describe(code));
}

void bound_calls(const apps::SocketApi& api, int fd, int seconds) {
  const timeval limit{.tv_sec = seconds, .tv_usec = 0};
  if (api.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) fail_with_errno("SO_RCVTIMEO");
  if (api.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) fail_with_errno("SO_SNDTIMEO");
}

Conversation::Conversation(const apps::SocketApi& api, int fd) : api_(api), fd_(fd) {
  bound_calls(api, fd, kCallSeconds);
}

Conversation::~Conversation() {
  close();
}

void Conversation::close() {
  if (fd_ >= 0) api_.close(fd_);
  fd_ = -1;
}

void Conversation::send_text(std::string_view text, int flags) {
  while (!text.empty()) {
    const ssize_t sent = api_.send(fd_, text.data(), text.size(), MSG_NOSIGNAL | flags);
    if (sent < 0) fail_with_errno("send");
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void Conversation::send_random(std::uint64_t stream, std::uint64_t bytes) {
  const load::RandomStream source(kSeed, stream);
  std::vector<unsigned char> block(kBlock);
  for (std::uint64_t offset = 0; offset < bytes; offset += kBlock) {
    const std::span piece(block.data(),
                          static_cast<std::size_t>(std::min<std::uint64_t>(kBlock, bytes - offset)));
    source.fill(offset, piece);
    send_text({reinterpret_cast<const char*>(piece.data()), piece.size()});
  }
}

void Conversation::expect_random(std::uint64_t stream, std::uint64_t bytes) {
  const load::RandomStream source(kSeed, stream);
  std::vector<unsigned char> expected(kBlock), block(kBlock);
  for (std::uint64_t offset = 0; offset < bytes; offset += kBlock) {
    const std::span piece(expected.data(),
                          static_cast<std::size_t>(std::min<std::uint64_t>(kBlock, bytes - offset)));
    source.fill(offset, piece);
    for (std::size_t have = 0; have < piece.size();) {
      const ssize_t got = api_.recv(fd_, block.data(), piece.size() - have, 0);
      const std::string place = "byte " + std::to_string(offset + have) + " of " + std::to_string(bytes);
      if (got == 0) throw Unexpected("the stream ended at " + place);
      if (got < 0) fail_with_errno("recv at " + place);
      const auto length = static_cast<std::size_t>(got);
      if (!std::equal(block.data(), block.data() + length, piece.data() + have)) {
        throw Unexpected("wrong data in the " + std::to_string(length) + " bytes from " + place);
      }
      have += length;
    }
  }
}

void Conversation::expect_text(std::string_view text, int flags) {
  std::string got;
  while (got.size() < text.size()) {
    char buffer[256];
    const ssize_t length = api_.recv(fd_, buffer, std::min(sizeof buffer, text.size() - got.size()), flags);
    if (length < 0) fail_with_errno("recv");
    if (length == 0) break;
    got.append(buffer, static_cast<std::size_t>(length));
  }
  if (got != text) throw Unexpected("expected \"" + std::string(text) + "\", got \"" + got + '"');
}

void Conversation::expect_end() {
  char byte = 0;
  const ssize_t got = api_.recv(fd_, &byte, 1, 0);
  if (got < 0) fail_with_errno("recv at the end of the stream");
  if (got > 0) throw Unexpected("more data where the stream should have ended");
}

void Conversation::expect_receive_error(int error) {
  char byte = 0;
  const ssize_t got = api_.recv(fd_, &byte, 1, 0);
  const int code = got < 0 ? errno : 0;
  if (got >= 0 || code != error)
    throw Unexpected("recv: expected " + describe(error) + ", got " + describe(code));
}

void Conversation::expect_send_error(int error) {
  for (int i = 0; i < 500; ++i) {
    if (api_.send(fd_, "x", 1, MSG_NOSIGNAL) < 0) {
      if (errno == error) return;
      throw Unexpected("send: expected " + describe(error) + ", got " + describe(errno));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  throw Unexpected("send: expected " + describe(error) + ", but it goes on");
}

void Conversation::wait_readable(short events) {
  pollfd wait{.fd = fd_, .events = events, .revents = 0};
  const int ready = api_.poll(&wait, 1, kCallSeconds * 1000);
  if (ready < 0) fail_with_errno("poll");
  if (ready == 0) throw Unexpected("nothing came");
}

void Conversation::finish_sending() {
  if (api_.shutdown(fd_, SHUT_WR) != 0) fail_with_errno("shutdown");
}

void Conversation::reset() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  if (api_.setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now) != 0) fail_with_errno("SO_LINGER");
  close();
}

sockaddr_in Conversation::name() const {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  if (api_.getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    fail_with_errno("getsockname");
  return address;
}

}  // namespace millrace::interop
