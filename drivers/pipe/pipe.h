#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "link/net_device.h"

namespace millrace::drivers {

/// A wire in memory: both directions alike.
///
///      tx_burst            queue      transmitter       delay        rx_burst
///     ----------> [ | | | | | | | ] -> (rate) -> ..................> --------
///
/// A frame leaves the transmitter when those before it have left and its own bits have passed at `rate`, and
/// can be received `delay` later. A super-frame takes the time of its segments and arrives as one.
struct PipeOptions {
  enum class WhenFull : std::uint8_t {
    kAuto,  ///< drop where there is a rate (a bottleneck's queue), wait where there is none (a local link)
    kDrop,  ///< lost, and counted as rx_dropped at the other end
    kWait,  ///< tx_burst leaves it with the caller
  };

  std::uint32_t mtu = 1500;
  std::uint64_t rate = 0;  ///< bits a second, of Ethernet frames without FCS; 0: no limit
  Duration delay{};
  std::size_t queue =
      1000;  ///< segments that wait for or are in the transmitter; without a rate: frames on the wire
  WhenFull when_full = WhenFull::kAuto;
  bool checksum_offload = true;  ///< checksums may be left out
  bool tso = true;               ///< super-frames may be sent, and come whole; only with checksum_offload
  MacAddress mac_a{{0x02, 0x6d, 0x72, 0, 0, 0x0a}};
  MacAddress mac_b{{0x02, 0x6d, 0x72, 0, 0, 0x0b}};
  std::string name = "pipe";

  [[nodiscard]] bool drops() const {
    return when_full == WhenFull::kDrop || (when_full == WhenFull::kAuto && rate != 0);
  }
  friend bool operator==(const PipeOptions&, const PipeOptions&) = default;
};

struct PipeEnds {
  std::unique_ptr<NetDevice> a;
  std::unique_ptr<NetDevice> b;
};

/// Two devices joined by a wire, for two stacks in one thread and in virtual time: `now` is the only clock,
/// there is no descriptor to wait on, and max_sleep() tells when the next frame arrives. A frame moves over
/// when both ends use the same pool, and is copied into the receiving pool when they do not. An end must be
/// destroyed before the pool it sends from; frames it has on the wire are lost then.
[[nodiscard]] PipeEnds make_pipe(const PipeOptions& options = {});

}  // namespace millrace::drivers
