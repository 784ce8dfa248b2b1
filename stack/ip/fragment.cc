#include "ip/fragment.h"

#include <algorithm>

namespace millrace::ip {

bool fragment(PacketPtr datagram, wire::Ipv4Header header, std::uint32_t mtu, PacketPool& pool,
              PacketQueue& out) {
  constexpr auto kHeader = static_cast<std::uint32_t>(wire::Ipv4Header::kSize);
  assert(mtu >= kHeader + 8);
  const std::uint32_t step = (mtu - kHeader) & ~std::uint32_t{7};
  const std::uint32_t total = datagram->length();
  PacketQueue made;
  for (std::uint32_t at = 0; at < total; at += step) {
    const std::uint32_t length = std::min(step, total - at);
    PacketPtr piece = pool.allocate(length);
    if (piece == nullptr) return false;
    datagram->copy_out(at, {piece->put(length), length});
    piece->set_transport_header();
    header.total_length = static_cast<std::uint16_t>(kHeader + length);
    header.fragment_offset = static_cast<std::uint16_t>(at);
    header.more_fragments = at + length < total;
    header.emit({piece->push(kHeader), kHeader});
    piece->set_network_header();
    piece->timestamp = datagram->timestamp;
    made.push_back(std::move(piece));
  }
  out.splice_back(made);
  return true;
}

}  // namespace millrace::ip
