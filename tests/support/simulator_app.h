#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "stack.h"

namespace millrace::test {

/// What one end of a simulated connection does, drawn from the seed.
struct AppPlan {
  std::uint64_t bytes = 0;           ///< to send
  std::uint64_t expected = 0;        ///< that the other end sends
  std::uint32_t write_chunk = 4096;  ///< at most a call
  std::uint32_t read_chunk = 65536;
  double write_pause = 0, read_pause = 0;  ///< probability after a call
  Duration longest_pause{0};
  bool send_after_end_of_file = false;  ///< a server that answers once it has all of the question
  bool no_delay = false;
  std::uint32_t congestion = 0;                ///< which of congestion_list()
  double more = 0;                             ///< probability of MSG_MORE
  double peek = 0;                             ///< probability of peeking before a read
  std::uint64_t abort_at = ~std::uint64_t{0};  ///< bytes sent at which it resets the connection (SO_LINGER 0)
  std::uint64_t leave_at = ~std::uint64_t{0};  ///< bytes read at which it closes, whatever is still to come
  std::uint32_t send_buffer = 0, receive_buffer = 0;
};

/// One end of a simulated connection. It acts only when its socket's events say so or a pause of its own
/// ends, as a program with edge-triggered epoll does: a wake-up that the stack forgets shows as a stall.
class SimulatedApp {
 public:
  SimulatedApp(std::uint64_t pattern_in, std::uint64_t pattern_out, const AppPlan& plan, std::uint64_t seed);

  /// Takes the socket, connecting or accepted.
  void start(std::unique_ptr<Socket> socket, bool connecting, Instant now);
  /// Events of the socket, or a pause that ended: goes on.
  void run(Instant now);

  [[nodiscard]] bool started() const { return started_; }
  /// All done, and the socket closed.
  [[nodiscard]] bool finished() const { return started_ && socket_ == nullptr; }
  [[nodiscard]] Instant wake_at() const;
  [[nodiscard]] Socket* socket() const { return socket_.get(); }
  [[nodiscard]] const AppPlan& plan() const { return plan_; }
  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  [[nodiscard]] std::uint64_t received() const { return received_; }
  [[nodiscard]] bool saw_end_of_file() const { return end_of_file_; }
  /// What the application got from the stack instead of what it wanted.
  [[nodiscard]] Error error() const { return error_; }
  /// Not empty: the stack did something that it must not.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }
  /// It reset the connection, or closed it early.
  [[nodiscard]] bool left_early() const { return left_early_; }
  [[nodiscard]] std::string to_string() const;

 private:
  void write_some(Instant now);
  void read_some(Instant now);
  void finish(Instant now, bool early);
  void fail(Error error, Instant now);
  void check(std::span<const std::uint8_t> bytes, std::uint64_t position);
  [[nodiscard]] Duration pause();

  std::uint64_t pattern_in_, pattern_out_;
  AppPlan plan_;
  Rng rng_;
  std::unique_ptr<Socket> socket_;
  bool started_ = false, connecting_ = false, shut_ = false, end_of_file_ = false, left_early_ = false;
  bool write_blocked_ = false, read_blocked_ = false;
  std::uint64_t sent_ = 0, received_ = 0;
  Instant write_at_{}, read_at_{}, close_at_ = kNever;
  Error error_ = Error::kNone;
  std::string complaint_;
  std::vector<std::uint8_t> buffer_;
};

/// The bytes of a stream, from a position on.
void fill_pattern(std::uint64_t stream, std::uint64_t position, std::span<std::uint8_t> out);

}  // namespace millrace::test
