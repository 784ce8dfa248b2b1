#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/socket_api.h"
#include "posix/clock.h"

namespace millrace::load {

/// CLOCK_MONOTONIC, whichever stack is measured, as the stack reads it: a client of short requests spends
/// twice as long on the C library's reading.
struct Clock : StackClock {
  [[nodiscard]] static time_point now() { return posix::clock_now(); }
};

/// What the command line asked for; each mode reads what concerns it.
struct Options {
  const apps::SocketApi* api = nullptr;
  sockaddr_in server{};
  std::vector<sockaddr_in> sources;  ///< of connections, in turn; empty: what the stack chooses
  std::string text;                  ///< say: what to send
  std::string direction;             ///< bulk: "send", "receive" or "echo"
  std::string congestion;            ///< TCP_CONGESTION; empty: the default
  std::size_t connections = 1;
  std::string command;        ///< kv: "get" or "set"
  std::size_t pipeline = 1;   ///< kv: requests sent together
  std::size_t keys = 100000;  ///< kv: that there are
  std::size_t size = 64;      ///< bytes a request, or a write
  std::uint64_t bytes = 0;    ///< bytes a connection
  std::uint64_t count = 0;    ///< requests; 0: until `seconds` are over
  double seconds = 3;
  double rate = 0;   ///< rr: requests a second that are sent, come what may; 0: each follows an answer
  double pause = 0;  ///< seconds before the reader starts
  std::uint64_t seed = 1;
  bool busy = false;   ///< spin instead of sleeping
  bool turns = false;  ///< rr, connect, bulk, kv: standard input says when, and for how long
};

/// A run that could not go on: one line for the user.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
/// A Failure that says what a call that set errno was for.
[[noreturn]] void fail_with_errno(std::string_view doing);

/// What a run found out: a line of key=value, or a JSON object.
class Report {
 public:
  void add(std::string key, double value);
  void add(std::string key, std::uint64_t value);
  void add(std::string key, std::string_view text);
  void print(bool json) const;

 private:
  std::vector<std::pair<std::string, std::string>> entries_;  // values as JSON
};

/// Owns a descriptor of the API it was made with.
class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(const apps::SocketApi& api, int fd) : api_(&api), fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : api_(other.api_), fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(api_, other.api_);
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { reset(); }
  void reset() {
    if (fd_ >= 0) api_->close(std::exchange(fd_, -1));
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  const apps::SocketApi* api_ = nullptr;
  int fd_ = -1;
};

/// A connected TCP socket with TCP_NODELAY; the number of the connection says which source it comes from.
Descriptor connect_tcp(const Options& options, std::size_t number = 0);
/// The same, nonblocking and still connecting.
Descriptor start_connect_tcp(const Options& options, std::size_t number = 0);
/// Of a connection that was started so and is writable: throws Failure when it did not come about.
void expect_connected(const Options& options, int fd);
void send_all(const Options& options, int fd, const void* data, std::size_t length, int flags = 0);

/// A request carries its number, so that a stale answer is not taken for a fresh one.
inline void number_request(std::vector<unsigned char>& request, std::uint64_t n) {
  std::memcpy(request.data(), &n, std::min(sizeof n, request.size()));
}

/// The modes. Each throws Failure; a false result is a run whose data came back wrong.
bool run_round_trips(const Options& options, Report& report);
bool run_open_loop(const Options& options, Report& report);
bool run_connections(const Options& options, Report& report);
bool run_bulk(const Options& options, Report& report);
bool run_key_values(const Options& options, Report& report);
bool run_many(const Options& options, Report& report);
bool run_udp(const Options& options, Report& report);
bool run_hold(const Options& options, Report& report);
bool run_say(const Options& options, Report& report);

}  // namespace millrace::load
