#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "common/socket_api.h"
#include "stream.h"

namespace millrace::interop {

/// The other side did not do what it should: one line.
class Unexpected : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One end of a connected TCP socket and what it expects to happen there. Every call blocks, for a bounded
/// time.
class Conversation {
 public:
  /// Takes the descriptor.
  Conversation(const apps::SocketApi& api, int fd);
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  ~Conversation();

  /// `bytes` of the random stream of that number; both ends know it.
  void send_random(std::uint64_t stream, std::uint64_t bytes);
  void expect_random(std::uint64_t stream, std::uint64_t bytes);
  void send_text(std::string_view text, int flags = 0);
  void expect_text(std::string_view text, int flags = 0);
  void expect_end();
  /// recv or send fails with this errno.
  void expect_receive_error(int error);
  /// Sends until it fails: an RST may still be on its way.
  void expect_send_error(int error);
  /// Something to read, or an end, is there; it is left there.
  void wait_readable(short events = POLLIN);
  void finish_sending();
  /// Closes with RST.
  void reset();
  void close();
  [[nodiscard]] sockaddr_in name() const;
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] const apps::SocketApi& api() const { return api_; }

 private:
  const apps::SocketApi& api_;
  int fd_;
};

[[noreturn]] void fail_with_errno(std::string_view doing);
/// Sets SO_RCVTIMEO and SO_SNDTIMEO.
void bound_calls(const apps::SocketApi& api, int fd, int seconds);

}  // namespace millrace::interop
