#include "dpdk/offload.h"

#include "frame_headers.h"

namespace millrace::drivers::dpdk {
namespace {

constexpr std::uint16_t kTcpChecksum = 16;
constexpr std::uint16_t kUdpChecksum = 6;

}  // namespace

void rx_offload(const rte_mbuf& frame, Offload& offload) {
  const std::uint64_t checksum = frame.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
  if (checksum == RTE_MBUF_F_RX_L4_CKSUM_GOOD) offload.rx_checksum = Offload::RxChecksum::kVerified;
  const bool unfinished = checksum == RTE_MBUF_F_RX_L4_CKSUM_NONE;
  const bool super = (frame.ol_flags & RTE_MBUF_F_RX_LRO) != 0 && frame.tso_segsz != 0;
  if (!unfinished && !super) return;

  const auto headers = FrameHeaders::parse({rte_pktmbuf_mtod(&frame, const std::uint8_t*), frame.data_len});
  if (!headers) return;
  if (unfinished) {
    // "Not correct in the packet, but the integrity of the data is verified": it came through memory.
    offload.rx_checksum = Offload::RxChecksum::kPartial;
    offload.checksum_start = headers->transport;
    offload.checksum_offset = headers->tcp ? kTcpChecksum : kUdpChecksum;
  }
  if (!super || headers->payload >= frame.pkt_len) return;
  const std::uint32_t payload = frame.pkt_len - headers->payload;
  if (payload <= frame.tso_segsz) return;
  offload.gso_size = frame.tso_segsz;
  offload.gso_segs = static_cast<std::uint16_t>((payload + frame.tso_segsz - 1) / frame.tso_segsz);
}

bool set_tx_offload(const Packet& packet, rte_mbuf& frame) {
  const Offload& offload = packet.offload;
  if (!offload.needs_checksum && offload.gso_size == 0) return true;
  const auto headers = FrameHeaders::parse(packet.linear());
  if (!headers || headers->transport != offload.checksum_start) return false;
  std::uint64_t flags = headers->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
  flags |= headers->tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
  std::uint64_t transport_length = 0;
  if (offload.gso_size != 0) {
    if (!headers->tcp || !offload.needs_checksum) return false;
    transport_length = std::uint64_t{headers->payload} - headers->transport;
    flags |= RTE_MBUF_F_TX_TCP_SEG;
    if (!headers->ipv6) flags |= RTE_MBUF_F_TX_IP_CKSUM;
  }
  const std::uint64_t network_length = std::uint64_t{headers->transport} - headers->network;
  frame.tx_offload =
      rte_mbuf_tx_offload(headers->network, network_length, transport_length, offload.gso_size, 0, 0, 0);
  frame.ol_flags |= flags;
  return true;
}

}  // namespace millrace::drivers::dpdk
