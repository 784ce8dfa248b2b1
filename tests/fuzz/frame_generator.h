#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/rng.h"
#include "base/seq.h"
#include "packet/packet.h"
#include "support/fake_device.h"
#include "support/frames.h"

namespace millrace::test {

/// Makes frames that hurt: random bytes, valid frames with bits changed or cut short, and segments, fragments
/// and ICMP errors that know what the stack sent last, so that they land inside its windows.
class FrameGenerator {
 public:
  FrameGenerator(std::uint64_t seed, const IpAddress& own, const MacAddress& own_mac);

  struct Frame {
    Bytes bytes;
    Offload offload;
  };
  [[nodiscard]] Frame next();
  /// Learns from a frame that the stack sent.
  void learn(const SentFrame& sent);

 private:
  struct Flow {
    Endpoint ours, peer;  ///< ours: the stack's
    SeqNum next_from_stack, expected_by_stack;
    std::uint32_t timestamp = 0;
  };
  [[nodiscard]] Bytes random_bytes(std::uint32_t most);
  [[nodiscard]] SeqNum near(SeqNum seq);
  [[nodiscard]] Endpoint random_peer();
  [[nodiscard]] Bytes tcp_segment(Offload& offload);
  [[nodiscard]] Bytes udp_datagram();
  [[nodiscard]] Bytes icmp_message();
  [[nodiscard]] Bytes arp_message();
  [[nodiscard]] Bytes wrap_ip(std::uint8_t protocol, const IpAddress& source, const Bytes& payload);
  void mutate(Bytes& frame);

  Rng rng_;
  IpAddress own_;
  MacAddress own_mac_;
  std::deque<Flow> flows_;
  Bytes last_sent_;
};

}  // namespace millrace::test
