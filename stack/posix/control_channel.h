#pragma once

#include <poll.h>

#include <string>
#include <string_view>

#include "posix/clock.h"

namespace millrace::posix {

/// How a wait for a descriptor of the control server's ended.
enum class ControlWait : std::uint8_t { kReady, kTimeout, kStop };
/// Until `fd` has one of the events, or `stop` is readable: the server shall end. kNever: no timeout.
[[nodiscard]] ControlWait wait_for(int fd, short events, int stop, Instant deadline);

/// One client's connection, in which nothing waits for longer than it should: a request must come soon, a
/// client that does not read is given up, and so is one that reads for ever.
class ControlChannel {
 public:
  static constexpr std::size_t kLongestRequest = 256;
  static constexpr Duration kRequestTime = 1s;  ///< for the whole request
  static constexpr Duration kStallTime = 2s;    ///< without any progress of an answer
  static constexpr Duration kAnswerTime = 30s;  ///< for the whole answer

  /// Of a nonblocking descriptor, which stays the caller's.
  ControlChannel(int fd, int stop) : fd_(fd), stop_(stop) {}

  enum class Read : std::uint8_t { kLine, kTooLong, kGone };
  /// The request, without its newline.
  [[nodiscard]] Read read_line(std::string& line);
  /// False when the client is to be given up.
  [[nodiscard]] bool write(std::string_view text);

 private:
  int fd_, stop_;
  Instant answer_deadline_ = kNever;  ///< from the first write on
};

}  // namespace millrace::posix
