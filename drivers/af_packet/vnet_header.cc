#include "af_packet/vnet_header.h"

#include "frame_headers.h"

namespace millrace::drivers {

Offload VnetHeader::to_offload(std::span<const std::uint8_t> head, std::uint32_t frame_length) const {
  Offload offload;
  if ((flags & kNeedsChecksum) != 0) {
    offload.rx_checksum = Offload::RxChecksum::kPartial;
    offload.checksum_start = checksum_start;
    offload.checksum_offset = checksum_offset;
  } else if ((flags & kDataValid) != 0) {
    offload.rx_checksum = Offload::RxChecksum::kVerified;
  }
  if (gso_type == kGsoNone || gso_size == 0) return offload;
  // The kernel's header_length is only a hint (all of its linear area), so the payload is found by parsing.
  const auto headers = FrameHeaders::parse(head);
  if (!headers || headers->payload >= frame_length) return offload;
  const std::uint32_t payload = frame_length - headers->payload;
  if (payload <= gso_size) return offload;
  offload.gso_size = gso_size;
  offload.gso_segs = static_cast<std::uint16_t>((payload + gso_size - 1) / gso_size);
  return offload;
}

bool VnetHeader::from_packet(const Packet& packet, VnetHeader& header) {
  header = {};
  const Offload& offload = packet.offload;
  if (offload.needs_checksum) {
    if (offload.checksum_start + offload.checksum_offset + 2u > packet.length()) return false;
    header.flags = kNeedsChecksum;
    header.checksum_start = offload.checksum_start;
    header.checksum_offset = offload.checksum_offset;
  }
  if (offload.gso_size == 0) return true;
  const auto headers = FrameHeaders::parse(packet.linear());
  if (!headers || !offload.needs_checksum) return false;
  if (headers->tcp) {
    header.gso_type = headers->ipv6 ? kGsoTcp6 : kGsoTcp4;
  } else {
    header.gso_type = kGsoUdp;
  }
  header.gso_size = offload.gso_size;
  header.header_length = headers->payload;
  return true;
}

iovec* VnetHeader::fill_pieces(const Packet& packet, iovec* pieces) {
  *pieces++ = {this, sizeof *this};
  *pieces++ = {packet.data(), packet.linear_length()};
  for (const Fragment& fragment : packet.fragments()) {
    *pieces++ = {fragment.bytes().data(), fragment.length};
  }
  return pieces;
}

}  // namespace millrace::drivers
