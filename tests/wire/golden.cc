#include "golden.h"

#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include <array>
#include <cstddef>
#include <memory>

#include "wire/pseudo_header.h"

namespace millrace::wire {
namespace {

std::span<const std::uint8_t> tail(std::span<const std::uint8_t> bytes, std::size_t from) {
  return bytes.subspan(from);
}
Bytes copy(std::span<const std::uint8_t> bytes) {
  return {bytes.begin(), bytes.end()};
}

/// Takes what a header's parse() gave; false where it rejected the bytes.
template <typename T>
bool take(std::optional<T> parsed, std::span<const std::uint8_t> bytes, Decoded& decoded) {
  if (!parsed) return false;
  decoded.payload = copy(tail(bytes, T::kSize));
  decoded.message = *parsed;
  return true;
}

/// A message that carries what follows its fixed part itself.
template <typename T>
bool take_whole(std::optional<T> parsed, Decoded& decoded) {
  if (!parsed) return false;
  decoded.message = *parsed;
  return true;
}

bool decode_icmpv6(std::span<const std::uint8_t> bytes, Decoded& decoded) {
  switch (bytes.empty() ? 0 : bytes[0]) {
    case Icmpv6Header::kNeighborSolicitation:
      return take_whole(NeighborSolicitation::parse(bytes), decoded);
    case Icmpv6Header::kNeighborAdvertisement:
      return take_whole(NeighborAdvertisement::parse(bytes), decoded);
    case Icmpv6Header::kRouterSolicitation:
      return take_whole(RouterSolicitation::parse(bytes), decoded);
    default:
      return take(Icmpv6Header::parse(bytes), bytes, decoded);
  }
}

bool decode_tcp(std::span<const std::uint8_t> bytes, Decoded& decoded) {
  const auto header = TcpHeader::parse(bytes);
  if (!header) return false;
  decoded.message = TcpSegment{*header, TcpOptions::parse(header->options(bytes))};
  decoded.payload = copy(tail(bytes, header->header_length));
  return true;
}

bool decode_transport(std::uint8_t protocol, std::span<const std::uint8_t> bytes, Decoded& decoded) {
  switch (protocol) {
    case kProtocolTcp:
      return decode_tcp(bytes, decoded);
    case kProtocolUdp:
      return take(UdpHeader::parse(bytes), bytes, decoded);
    case kProtocolIcmp:
      return take(Icmpv4Header::parse(bytes), bytes, decoded);
    case kProtocolIcmpv6:
      return decode_icmpv6(bytes, decoded);
    default:
      decoded.payload = copy(bytes);
      return true;
  }
}

bool decode_ipv4(std::span<const std::uint8_t> bytes, Decoded& decoded) {
  const auto view = Ipv4View::parse(bytes);
  if (!view || !view->checksum_ok()) return false;
  decoded.ipv4 = Ipv4Header::parse(bytes);
  EXPECT_EQ(decoded.ipv4, Ipv4Header::from(*view));
  decoded.ipv4_options = copy(view->options());
  if (view->is_fragment()) {
    decoded.payload = copy(view->payload());
    return true;
  }
  return decode_transport(view->protocol(), view->payload(), decoded);
}

bool decode_ipv6(std::span<const std::uint8_t> bytes, Decoded& decoded) {
  const auto view = Ipv6View::parse(bytes);
  if (!view) return false;
  decoded.ipv6 = Ipv6Header::parse(bytes);
  EXPECT_EQ(decoded.ipv6, Ipv6Header::from(*view));
  const auto walk = Ipv6ExtensionWalk::over(view->next_header(), view->payload());
  const auto rest = tail(view->payload(), walk.offset);
  if (walk.end == Ipv6ExtensionWalk::End::kFragment) {
    decoded.fragment = walk.fragment;
    decoded.ipv6_extensions = copy(view->payload().first(walk.offset - Ipv6FragmentHeader::kSize));
    decoded.payload = copy(rest);
    return true;
  }
  decoded.ipv6_extensions = copy(view->payload().first(walk.offset));
  return walk.end == Ipv6ExtensionWalk::End::kUpperLayer && decode_transport(walk.protocol, rest, decoded);
}

/// Appends `size` zero bytes and returns them; only good until the next growth.
std::span<std::uint8_t> grow(Bytes& out, std::size_t size) {
  out.resize(out.size() + size);
  return std::span{out}.last(size);
}
void append(Bytes& out, const Bytes& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// Appends the header, whose checksum field it zeroes, and the payload; returns where the checksum goes.
struct MessageWriter {
  Bytes& out;

  std::size_t operator()(std::monostate) const { return 0; }
  std::size_t operator()(TcpSegment segment) const {
    segment.header.checksum = 0;
    segment.header.emit(grow(out, TcpHeader::kSize));
    const std::size_t size = segment.options.size();
    EXPECT_EQ(segment.options.emit(grow(out, size)), size);
    EXPECT_EQ(segment.header.header_length, TcpHeader::kSize + size);
    return 16;
  }
  std::size_t operator()(UdpHeader header) const {
    header.checksum = 0;
    header.emit(grow(out, UdpHeader::kSize));
    return 6;
  }
  template <typename T>
  std::size_t operator()(T message) const {
    message.checksum = 0;
    if constexpr (requires { message.options; }) {
      message.emit(grow(out, message.size()));
    } else {
      message.emit(grow(out, T::kSize));
    }
    return 2;
  }
};

std::uint16_t message_checksum(const Decoded& decoded, std::span<const std::uint8_t> message) {
  if (std::holds_alternative<Icmpv4Header>(decoded.message)) return internet_checksum(message);
  std::uint8_t protocol = kProtocolIcmpv6;
  if (std::holds_alternative<TcpSegment>(decoded.message)) protocol = kProtocolTcp;
  if (std::holds_alternative<UdpHeader>(decoded.message)) protocol = kProtocolUdp;
  return decoded.ipv4
             ? transport_checksum(decoded.ipv4->source, decoded.ipv4->destination, protocol, message)
             : transport_checksum(decoded.ipv6->source, decoded.ipv6->destination, protocol, message);
}

}  // namespace

const std::vector<std::string>& golden_names() {
  static const std::vector<std::string> names{
      "arp_ping.pcap",  "icmp_errors.pcap", "ipv6_fragments.pcap", "ipv6_start.pcap",
      "ipv6_talk.pcap", "tcp.pcap",         "tcp_fast_open.pcap",  "tcp_no_timestamps.pcap",
      "tcp_sack.pcap",  "udp.pcap",         "udp_fragments.pcap",  "vlan.pcap"};
  return names;
}

std::vector<Bytes> golden(const std::string& name) {
  std::array<char, PCAP_ERRBUF_SIZE> error{};
  const std::string path = std::string{MILLRACE_GOLDEN_DIR} + '/' + name;
  const std::unique_ptr<pcap_t, decltype(&pcap_close)> file{pcap_open_offline(path.c_str(), error.data()),
                                                            &pcap_close};
  std::vector<Bytes> frames;
  if (!file) {
    ADD_FAILURE() << error.data();
    return frames;
  }
  EXPECT_EQ(pcap_datalink(file.get()), DLT_EN10MB);
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  while (pcap_next_ex(file.get(), &header, &data) == 1) {
    EXPECT_EQ(header->caplen, header->len);
    frames.emplace_back(data, data + header->caplen);
  }
  EXPECT_FALSE(frames.empty()) << path;
  return frames;
}

bool Decoded::is_fragment() const {
  return fragment || (ipv4 && (ipv4->more_fragments || ipv4->fragment_offset != 0));
}

std::optional<Decoded> decode(std::span<const std::uint8_t> frame) {
  Decoded decoded;
  const auto ethernet = EthernetHeader::parse(frame);
  if (!ethernet) return std::nullopt;
  decoded.ethernet = *ethernet;
  auto rest = tail(frame, EthernetHeader::kSize);
  std::uint16_t ether_type = ethernet->ether_type;
  if (ether_type == kEtherTypeVlan) {
    decoded.vlan = VlanTag::parse(rest);
    if (!decoded.vlan) return std::nullopt;
    ether_type = decoded.vlan->ether_type;
    rest = tail(rest, VlanTag::kSize);
  }
  bool good = false;
  switch (ether_type) {
    case kEtherTypeArp:
      decoded.arp = ArpPacket::parse(rest);
      good = decoded.arp.has_value();
      if (good) decoded.payload = copy(tail(rest, ArpPacket::kSize));
      break;
    case kEtherTypeIpv4:
      good = decode_ipv4(rest, decoded);
      break;
    case kEtherTypeIpv6:
      good = decode_ipv6(rest, decoded);
      break;
    default:
      break;
  }
  return good ? std::optional{decoded} : std::nullopt;
}

Bytes encode(const Decoded& decoded) {
  Bytes out;
  decoded.ethernet.emit(grow(out, EthernetHeader::kSize));
  if (decoded.vlan) decoded.vlan->emit(grow(out, VlanTag::kSize));
  if (decoded.arp) decoded.arp->emit(grow(out, ArpPacket::kSize));
  if (decoded.ipv4) {
    const auto header = grow(out, decoded.ipv4->header_length);
    std::copy(decoded.ipv4_options.begin(), decoded.ipv4_options.end(), header.begin() + Ipv4Header::kSize);
    decoded.ipv4->emit(header);
  }
  if (decoded.ipv6) decoded.ipv6->emit(grow(out, Ipv6Header::kSize));
  append(out, decoded.ipv6_extensions);
  if (decoded.fragment) decoded.fragment->emit(grow(out, Ipv6FragmentHeader::kSize));

  const std::size_t message_at = out.size();
  const std::size_t checksum_at = std::visit(MessageWriter{out}, decoded.message);
  append(out, decoded.payload);
  if (!std::holds_alternative<std::monostate>(decoded.message)) {
    const auto message = std::span{out}.subspan(message_at);
    store_be16(&message[checksum_at], message_checksum(decoded, message));
  }
  return out;
}

}  // namespace millrace::wire
