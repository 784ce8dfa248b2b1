#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <vector>

#include "pipe/pipe.h"
#include "stack.h"

namespace millrace::bench {

/// Two stacks on one core, joined by the in-memory wire, in virtual time: what they cost is their own work.
/// The same class serves the Google Benchmark programs and the instruction counts.
class TwoStacks {
 public:
  struct Options {
    bool super_frames = true;
    bool checksum_offload = true;
    std::uint32_t mtu = 1500;
  };
  explicit TwoStacks(const Options& options);
  ~TwoStacks();

  [[nodiscard]] Stack& client() { return client_; }
  [[nodiscard]] Stack& server() { return server_; }
  [[nodiscard]] Instant now() const { return now_; }

  /// Both stacks poll once; virtual time moves by 1 µs.
  void turn();
  /// Opens `count` connections and leaves them established; the server echoes what comes from then on.
  void connect(std::size_t count);
  /// One request of `bytes` on connection `index`, and its answer.
  void request(std::size_t index, std::size_t bytes);
  /// Sends `total` bytes over connection 0 to a server that reads and drops them.
  void bulk(std::size_t total);
  /// Opens a connection, exchanges nothing, closes it from the client's side.
  void connect_and_close();
  [[nodiscard]] std::size_t server_bytes_in_use() { return server_.pool().bytes_in_use(); }

 private:
  void serve();
  void accept_all();

  Instant now_;
  drivers::PipeEnds ends_;
  Stack client_, server_;
  std::unique_ptr<Socket> listener_;
  std::vector<std::unique_ptr<Socket>> clients_;
  std::vector<std::unique_ptr<Socket>> servers_;
  std::vector<std::uint8_t> scratch_;
  std::size_t dropped_ = 0;
  bool echo_ = true;
};

}  // namespace millrace::bench
