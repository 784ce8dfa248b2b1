#include "af_packet/datagrams.h"

#include <algorithm>
#include <cstring>

#include "base/byte_order.h"
#include "base/checksum.h"
#include "frame_headers.h"

namespace millrace::drivers {
namespace {

constexpr std::uint16_t kUdpHeader = 8;
constexpr std::uint8_t kProtocolUdp = 17;

/// Lengths, identification and checksums of the `index`th datagram, in place.
void fix_headers(std::uint8_t* frame, const FrameHeaders& headers, std::size_t index, std::uint32_t payload) {
  std::uint8_t* ip = frame + headers.network;
  std::uint8_t* udp = frame + headers.transport;
  const auto udp_length = static_cast<std::uint16_t>(kUdpHeader + payload);
  ChecksumSum pseudo;
  pseudo.add_word(kProtocolUdp).add_word(udp_length);
  if (headers.ipv6) {
    store_be16(ip + 4, udp_length);
    pseudo.add({ip + 8, 32});
  } else {
    const auto header_length = static_cast<std::size_t>(headers.transport - headers.network);
    store_be16(ip + 2, static_cast<std::uint16_t>(header_length + udp_length));
    store_be16(ip + 4, static_cast<std::uint16_t>(load_be16(ip + 4) + index));
    store_be16(ip + 10, 0);
    store_be16(ip + 10, internet_checksum({ip, header_length}));
    pseudo.add({ip + 12, 8});
  }
  store_be16(udp + 4, udp_length);
  store_be16(udp + 6, pseudo.folded());
}

}  // namespace

std::size_t cut_datagrams(PacketPool& pool, PacketPtr super_frame, PacketQueue& out) {
  const std::uint32_t size = super_frame->offload.gso_size;
  const auto headers = FrameHeaders::parse(super_frame->linear());
  if (size == 0 || !headers || headers->tcp) {
    out.push_back(std::move(super_frame));
    return 0;
  }
  std::size_t missing = 0;
  std::size_t index = 0;
  for (std::uint32_t at = headers->payload; at < super_frame->length(); at += size, ++index) {
    const std::uint32_t payload = std::min(size, super_frame->length() - at);
    PacketPtr piece = pool.allocate(headers->payload + payload);
    if (!piece) {
      ++missing;
      continue;
    }
    std::uint8_t* frame = piece->put(headers->payload + payload);
    std::memcpy(frame, super_frame->data(), headers->payload);
    super_frame->copy_out(at, {frame + headers->payload, payload});
    fix_headers(frame, *headers, index, payload);
    piece->offload = super_frame->offload;
    piece->offload.gso_size = piece->offload.gso_segs = 0;
    piece->timestamp = super_frame->timestamp;
    out.push_back(std::move(piece));
  }
  return missing;
}

std::size_t pass_on(PacketPtr packet, const VnetHeader& header, PacketQueue& pending, PacketQueue& out,
                    DeviceStats& stats) {
  ++stats.rx_packets;
  stats.rx_bytes += packet->length();
  if (packet->offload.gso_size != 0 && header.is_udp_gso()) {
    PacketPool& pool = packet->pool();
    stats.rx_no_memory += cut_datagrams(pool, std::move(packet), pending);
    return 0;
  }
  if (!pending.empty()) {
    pending.push_back(std::move(packet));
    return 0;
  }
  out.push_back(std::move(packet));
  return 1;
}

}  // namespace millrace::drivers
