#pragma once

#include <cstdint>

#include "link/flow_home.h"
#include "link/rss_hash.h"

namespace millrace::drivers {

/// The queues of a device, and which of them a flow is at home in: the one to which the device itself sends
/// it, where that is known (RSS), else the one that link::FlowHome says.
struct FlowQueues {
  std::uint32_t count = 1;
  const link::RssHash* rss = nullptr;  ///< whose table has no queue beyond `count`

  /// In the direction of the frames that are received.
  [[nodiscard]] std::uint32_t queue(std::uint32_t source, std::uint16_t source_port,
                                    std::uint32_t destination, std::uint16_t destination_port) const {
    return rss != nullptr ? rss->queue(source, source_port, destination, destination_port)
                          : link::FlowHome::queue(source, source_port, destination, destination_port, count);
  }
};

}  // namespace millrace::drivers
