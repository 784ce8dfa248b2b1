#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "socket/socket.h"
#include "support/topology.h"

namespace millrace::test {

/// The bytes of all bulk transfers: a table of prime length over and over, so that what arrives at a position
/// tells which position it was sent from (but for multiples of that length), and nothing has to be made.
class BulkPattern {
 public:
  static constexpr std::size_t kPeriod = 65521;
  static constexpr std::size_t kLongest = 65536;  ///< of one span

  BulkPattern();
  [[nodiscard]] const std::uint8_t* at(std::uint64_t position) const {
    return bytes_.data() + position % kPeriod;
  }

 private:
  std::vector<std::uint8_t> bytes_;
};

/// A connection over which one end sends as fast as it can and the other reads at once.
class BulkFlow {
 public:
  /// How much of what arrives is compared.
  enum class Verify : std::uint8_t { kSample, kAll };

  BulkFlow(const FlowSpec& spec, const BulkPattern& pattern, std::uint64_t offset, Verify verify)
      : spec_(spec), pattern_(pattern), offset_(offset), verify_(verify) {}

  /// Connects. `unsent`: what is written ahead of what the window lets out.
  void connect(std::unique_ptr<Socket> socket, const Endpoint& to, std::uint32_t unsent, Instant now);
  void accept(std::unique_ptr<Socket> socket, Instant now);
  /// Events of its sockets.
  void run_sender(Instant now);
  void run_receiver(Instant now);
  /// No more is written: the sender shuts down its half, and the connection ends when all has arrived.
  void stop(Instant now);
  /// Resets it from both ends.
  void abort(Instant now);

  [[nodiscard]] const FlowSpec& spec() const { return spec_; }
  [[nodiscard]] const Socket* sender() const { return sender_.get(); }
  [[nodiscard]] const Socket* receiver() const { return receiver_.get(); }
  [[nodiscard]] const Endpoint& client() const { return client_; }
  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] bool accepted() const { return accepted_; }
  [[nodiscard]] bool aborted() const { return aborted_; }
  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  [[nodiscard]] std::uint64_t received() const { return received_; }
  /// The end of the stream was read, and everything before it.
  [[nodiscard]] bool complete() const { return end_of_file_ && received_ == sent_; }
  [[nodiscard]] Instant completed_at() const { return completed_at_; }
  /// The sender's figures, also after it has closed.
  [[nodiscard]] TcpInfo info(Instant now) const;
  /// Not empty: what the stack did wrong.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }

 private:
  void write(Instant now);
  void close_sender(Instant now);
  void compare(const std::uint8_t* bytes, std::size_t count, std::uint64_t position);
  void complain(const std::string& what) {
    if (complaint_.empty()) complaint_ = what;
  }

  FlowSpec spec_;
  const BulkPattern& pattern_;
  std::uint64_t offset_;
  Verify verify_;
  std::unique_ptr<Socket> sender_, receiver_;
  Endpoint client_;
  bool started_ = false, connected_ = false, accepted_ = false, stopped_ = false, shut_ = false;
  bool end_of_file_ = false, aborted_ = false;
  std::uint64_t sent_ = 0, received_ = 0;
  Instant completed_at_ = kNever;
  TcpInfo last_info_;
  std::string complaint_;
};

}  // namespace millrace::test
