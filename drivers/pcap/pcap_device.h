#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/mac_address.h"
#include "link/net_device.h"

namespace millrace::drivers {

struct PcapConfig {
  std::string in;       ///< what is replayed; empty: nothing is ever received
  std::string out;      ///< where what is sent goes; empty: it is dropped
  bool timing = false;  ///< frames come at the intervals at which they were recorded, else as they are taken
  Duration delay = 100ms;  ///< until the first frame comes: programs get to listen meanwhile
  std::uint64_t loop = 1;  ///< how often the file is replayed; 0: without end
  std::uint32_t mtu = 1500;
  MacAddress mac{{0x02, 0x6d, 0x72, 0, 0, 0x0c}};
  std::string name;
};

/// Files in the place of a network: the frames of a pcap or pcapng file are received, and what is sent is
/// recorded in another (pcapng). Frames from `mac` itself, as a recording of both directions has them, are
/// left out: no network brings them back. Nothing is offloaded, so that what is recorded are the frames of a
/// wire.
///
/// The clock of the recording is that of the replayed file: its first frame comes `delay` after the first
/// rx_burst.
/// With the same times, the same calls give the same file.
///
/// Counted: rx_truncated, frames that had been cut when they were recorded, and a file that ends in the
/// middle of one.
[[nodiscard]] std::unique_ptr<NetDevice> open_pcap(const PcapConfig& config, std::string& error);

}  // namespace millrace::drivers
