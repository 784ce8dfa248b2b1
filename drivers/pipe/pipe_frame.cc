#include "pipe/pipe_frame.h"

#include "base/byte_order.h"
#include "frame_headers.h"

namespace millrace::drivers {
namespace {

constexpr std::uint16_t kEtherTypeVlan = 0x8100;

std::uint32_t link_header_length(const Packet& packet) {
  const bool tagged =
      packet.linear_length() >= kEthernetHeader && load_be16(packet.data() + 12) == kEtherTypeVlan;
  return kEthernetHeader + (tagged ? kVlanTag : 0);
}

}  // namespace

DeviceCaps pipe_caps(const PipeOptions& options) {
  DeviceCaps caps;
  caps.tx_checksum = caps.rx_checksum = options.checksum_offload;
  caps.tso = caps.lro = options.tso && options.checksum_offload;
  caps.max_gso_bytes = caps.tso ? kMaxGsoBytes : 0;
  caps.scatter = true;
  return caps;
}

bool pipe_accepts(const PipeOptions& options, const Packet& packet) {
  if (packet.length() < kEthernetHeader) return false;
  const DeviceCaps caps = pipe_caps(options);
  if (packet.offload.needs_checksum && !caps.tx_checksum) return false;
  if (packet.offload.gso_size == 0) return packet.length() <= options.mtu + link_header_length(packet);
  const auto headers = FrameHeaders::parse(packet.linear());
  return headers && caps.tso && packet.offload.needs_checksum && packet.length() > headers->payload &&
         packet.length() - headers->payload <= kMaxGsoBytes &&
         headers->payload - headers->network + packet.offload.gso_size <= static_cast<int>(options.mtu);
}

std::uint64_t pipe_wire_bytes(const Packet& packet) {
  const auto headers = packet.offload.gso_size == 0 ? std::nullopt : FrameHeaders::parse(packet.linear());
  return packet.length() + (headers ? (pipe_segments(packet) - 1) * headers->payload : 0);
}

Offload pipe_received(const Offload& sent) {
  Offload received;
  received.gso_size = sent.gso_size;
  received.gso_segs = sent.gso_segs;
  if (sent.needs_checksum) {
    received.rx_checksum = Offload::RxChecksum::kPartial;
    received.checksum_start = sent.checksum_start;
    received.checksum_offset = sent.checksum_offset;
  }
  return received;
}

}  // namespace millrace::drivers
