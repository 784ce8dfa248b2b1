#include "fuzz/frame_generator.h"

#include <algorithm>

#include "wire/tcp.h"
#include "wire/tcp_options.h"

namespace millrace::test {

namespace {

constexpr std::size_t kMaxFlows = 64;
constexpr MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 2}};

}  // namespace

FrameGenerator::FrameGenerator(std::uint64_t seed, const IpAddress& own, const MacAddress& own_mac)
    : rng_(seed), own_(own), own_mac_(own_mac) {}

Bytes FrameGenerator::random_bytes(std::uint32_t most) {
  Bytes bytes(rng_.below(most + 1));
  rng_.fill(bytes);
  return bytes;
}

SeqNum FrameGenerator::near(SeqNum seq) {
  switch (rng_.below(8)) {
    case 0:
      return seq + rng_.u32();
    case 1:
      return seq - 1;
    case 2:
      return seq + rng_.below(65536);
    case 3:
      return seq - rng_.below(65536);
    case 4:
      return seq + rng_.below(3000);
    default:
      return seq;
  }
}

Endpoint FrameGenerator::random_peer() {
  return {IpAddress::v4(198, 18, 0, static_cast<std::uint8_t>(2 + rng_.below(4))),
          static_cast<std::uint16_t>(rng_.chance(0.9) ? 1024 + rng_.below(64) : rng_.below(65536))};
}

Bytes FrameGenerator::wrap_ip(std::uint8_t protocol, const IpAddress& source, const Bytes& payload) {
  wire::Ipv4Header header = ipv4_header(source, own_, protocol);
  header.identification = static_cast<std::uint16_t>(rng_.below(32));
  header.dont_fragment = rng_.chance(0.5);
  if (rng_.chance(0.02)) header.ttl = static_cast<std::uint8_t>(rng_.below(3));
  if (rng_.chance(0.02)) header.destination = IpAddress::v4(rng_.u32());
  if (rng_.chance(0.02)) header.source = IpAddress::v4(rng_.u32());
  if (rng_.chance(0.05)) {
    header.dont_fragment = false;
    header.more_fragments = rng_.chance(0.7);
    header.fragment_offset = static_cast<std::uint16_t>(8 * rng_.below(rng_.chance(0.5) ? 8 : 8191));
  }
  return ipv4(header, payload, rng_.chance(0.03) ? random_bytes(40) : Bytes{});
}

Bytes FrameGenerator::tcp_segment(Offload& offload) {
  Flow flow;
  const bool known = !flows_.empty() && rng_.chance(0.8);
  if (known) {
    flow = flows_[rng_.below(static_cast<std::uint32_t>(flows_.size()))];
  } else {
    flow.ours = {own_, static_cast<std::uint16_t>(rng_.chance(0.8) ? 80 : rng_.below(65536))};
    flow.peer = random_peer();
    flow.expected_by_stack = SeqNum{rng_.u32()};
  }
  wire::TcpHeader header;
  header.source_port = flow.peer.port;
  header.destination_port = flow.ours.port;
  header.seq = near(flow.expected_by_stack);
  header.ack = near(flow.next_from_stack);
  header.window = static_cast<std::uint16_t>(rng_.chance(0.2) ? rng_.below(3) : rng_.below(65536));
  header.urgent_pointer = static_cast<std::uint16_t>(rng_.below(2000));
  wire::TcpOptions options;
  if (!known) {
    header.flags = wire::TcpFlags::kSyn;
    if (rng_.chance(0.8))
      options.mss = static_cast<std::uint16_t>(rng_.chance(0.8) ? 1460 : rng_.below(65536));
    if (rng_.chance(0.8)) options.window_scale = static_cast<std::uint8_t>(rng_.below(16));
    options.sack_permitted = rng_.chance(0.8);
  } else {
    header.flags = wire::TcpFlags::kAck;
    if (rng_.chance(0.05)) header.flags |= wire::TcpFlags::kFin;
    if (rng_.chance(0.02)) header.flags |= wire::TcpFlags::kRst;
    if (rng_.chance(0.02)) header.flags |= wire::TcpFlags::kSyn;
    if (rng_.chance(0.05)) header.flags |= wire::TcpFlags::kUrg;
  }
  if (rng_.chance(0.03)) header.flags = static_cast<std::uint8_t>(rng_.below(256));
  if (rng_.chance(0.8))
    options.timestamps = wire::TcpOptions::Timestamps{flow.timestamp + rng_.below(4), rng_.u32()};
  if (rng_.chance(0.1)) {
    options.sack_count = static_cast<std::uint8_t>(1 + rng_.below(3));
    for (auto& block : options.sack) {
      block.left = near(flow.next_from_stack);
      block.right = near(block.left);
    }
  }
  Bytes option_bytes(options.size());
  options.emit(option_bytes);
  if (rng_.chance(0.05)) {
    option_bytes = random_bytes(40);
    option_bytes.resize(option_bytes.size() / 4 * 4);
  }
  header.header_length = static_cast<std::uint8_t>(wire::TcpHeader::kSize + option_bytes.size());
  const Bytes payload = rng_.chance(0.5) ? Bytes{} : random_bytes(rng_.chance(0.3) ? 1448 : 64);
  Bytes segment = with_room(header.header_length, payload);
  std::copy(option_bytes.begin(), option_bytes.end(), segment.begin() + wire::TcpHeader::kSize);
  header.emit(segment);
  switch (rng_.below(8)) {
    case 0:
      offload.rx_checksum = Offload::RxChecksum::kPartial;
      break;
    case 1:
      offload.rx_checksum = Offload::RxChecksum::kVerified;
      offload.gso_size = static_cast<std::uint16_t>(rng_.below(1460));
      offload.gso_segs = static_cast<std::uint16_t>(rng_.below(45));
      break;
    case 2:
      break;  // a wrong checksum
    default: {
      const std::uint16_t sum =
          wire::transport_checksum(flow.peer.address, own_, wire::kProtocolTcp, segment);
      store_be16(segment.data() + 16, sum);
    }
  }
  return wrap_ip(wire::kProtocolTcp, flow.peer.address, segment);
}

Bytes FrameGenerator::udp_datagram() {
  const Endpoint peer = random_peer();
  const Endpoint to{own_, static_cast<std::uint16_t>(rng_.chance(0.7) ? 53 : rng_.below(65536))};
  return wrap_ip(wire::kProtocolUdp, peer.address, udp(peer, to, random_bytes(1472)));
}

Bytes FrameGenerator::icmp_message() {
  const IpAddress from = random_peer().address;
  if (rng_.chance(0.4)) return wrap_ip(wire::kProtocolIcmp, from, echo_request(1, 1, random_bytes(1000)));
  wire::Icmpv4Header header;
  header.type = static_cast<std::uint8_t>(rng_.chance(0.8) ? 3 : rng_.below(20));
  header.code = static_cast<std::uint8_t>(rng_.below(16));
  header.rest = rng_.chance(0.5) ? rng_.below(1600) : rng_.u32();
  // About something the stack sent: its last packet, behind the Ethernet header, often whole enough to be
  // believed.
  Bytes quoted = last_sent_;
  quoted.resize(std::min<std::size_t>(quoted.size(), 20 + rng_.below(64)));
  return wrap_ip(wire::kProtocolIcmp, from, icmp(header, quoted));
}

Bytes FrameGenerator::arp_message() {
  wire::ArpPacket packet;
  packet.operation = static_cast<std::uint16_t>(rng_.below(3));
  packet.sender_mac = rng_.chance(0.9) ? kPeerMac : MacAddress{};
  packet.sender_ip = rng_.chance(0.9) ? random_peer().address : own_;
  packet.target_mac = own_mac_;
  packet.target_ip = rng_.chance(0.8) ? own_ : IpAddress::v4(rng_.u32());
  return arp(packet);
}

void FrameGenerator::mutate(Bytes& frame) {
  if (frame.empty()) return;
  switch (rng_.below(4)) {
    case 0:
      frame.resize(rng_.below(static_cast<std::uint32_t>(frame.size())));
      break;
    case 1:
      frame.resize(frame.size() + rng_.below(64));
      break;
    default:
      for (std::uint32_t n = 1 + rng_.below(4); n != 0; --n) {
        frame[rng_.below(static_cast<std::uint32_t>(frame.size()))] ^=
            static_cast<std::uint8_t>(1u << rng_.below(8));
      }
  }
}

FrameGenerator::Frame FrameGenerator::next() {
  Frame frame;
  const std::uint32_t kind = rng_.below(100);
  if (kind < 3) {
    frame.bytes = random_bytes(1514);
    return frame;
  }
  if (kind < 6) {
    frame.bytes = ethernet(rng_.chance(0.2) ? MacAddress::broadcast() : own_mac_, kPeerMac,
                           wire::kEtherTypeArp, arp_message());
  } else {
    const Bytes packet = kind < 80 ? tcp_segment(frame.offload) : kind < 90 ? udp_datagram() : icmp_message();
    frame.bytes = ethernet(rng_.chance(0.02) ? MacAddress::broadcast() : own_mac_, kPeerMac,
                           wire::kEtherTypeIpv4, packet);
  }
  if (rng_.chance(0.15)) mutate(frame.bytes);
  return frame;
}

void FrameGenerator::learn(const SentFrame& sent) {
  constexpr std::size_t kHeaders =
      wire::EthernetHeader::kSize + wire::Ipv4Header::kSize + wire::TcpHeader::kSize;
  if (sent.bytes.size() < kHeaders) return;
  last_sent_.assign(sent.bytes.begin() + wire::EthernetHeader::kSize, sent.bytes.end());
  const auto view = wire::Ipv4View::parse(last_sent_);
  if (!view || view->protocol() != wire::kProtocolTcp) return;
  const auto header = wire::TcpHeader::parse(view->payload());
  if (!header || header->has(wire::TcpFlags::kRst)) return;
  Flow flow;
  flow.ours = {view->source(), header->source_port};
  flow.peer = {view->destination(), header->destination_port};
  const std::size_t payload = view->payload().size() - header->header_length;
  flow.next_from_stack = header->seq + static_cast<std::uint32_t>(payload) +
                         (header->has(wire::TcpFlags::kSyn | wire::TcpFlags::kFin) ? 1u : 0u);
  flow.expected_by_stack = header->ack;
  const auto options = wire::TcpOptions::parse(header->options(view->payload()));
  if (options.timestamps) flow.timestamp = options.timestamps->echo;
  std::erase_if(flows_,
                [&](const Flow& other) { return other.ours == flow.ours && other.peer == flow.peer; });
  flows_.push_back(flow);
  if (flows_.size() > kMaxFlows) flows_.pop_front();
}

}  // namespace millrace::test
