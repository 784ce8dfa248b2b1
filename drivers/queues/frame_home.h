#pragma once

#include <cstdint>
#include <span>

#include "queues/flow_queues.h"

namespace millrace::drivers {

/// Where a frame belongs whose device has several queues.
struct FrameHome {
  std::uint32_t queue = 0;
  bool everybody = false;  ///< ARP: queue 0 answers, all of them learn

  /// The least of a frame that tells: an ICMP error that quotes a header with options in a frame with a tag.
  static constexpr std::size_t kLook = 18 + 60 + 8 + 60 + 8;

  /// By the first bytes of a frame. TCP and UDP: by addresses and ports (FlowQueues). An ICMP error is at
  /// home with what it quotes, which was sent from here. All else, and fragments, which have no ports until
  /// they are put together, in queue 0.
  [[nodiscard]] static FrameHome of(std::span<const std::uint8_t> frame, const FlowQueues& queues);
  /// By an IPv4 packet from its header on.
  [[nodiscard]] static std::uint32_t of_packet(std::span<const std::uint8_t> packet,
                                               const FlowQueues& queues);
};

}  // namespace millrace::drivers
