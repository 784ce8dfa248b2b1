#include "link/interface.h"

#include <algorithm>
#include <array>

#include "link/gso.h"
#include "wire/ethernet.h"

namespace millrace::link {

namespace {

/// Fewer frames come to their turn before anything could be fetched.
constexpr std::size_t kWorthLookingAhead = 4;

/// RFC 1112 §6.4: the low 23 bits of the group in 01:00:5e:00:00:00.
[[nodiscard]] MacAddress multicast_mac(const IpAddress& group) {
  const auto& b = group.bytes();
  if (group.is_v4()) return {{0x01, 0x00, 0x5e, static_cast<std::uint8_t>(b[1] & 0x7f), b[2], b[3]}};
  return {{0x33, 0x33, b[12], b[13], b[14], b[15]}};  // RFC 2464 §7
}

/// Where the payload of a TCP super-frame begins; its headers are linear, as TCP and IP just wrote them.
[[nodiscard]] std::uint32_t tcp_payload_at(const Packet& frame) {
  constexpr std::uint32_t kDataOffset = 12;
  const std::uint32_t tcp_at = frame.offload.checksum_start;
  if (tcp_at + kDataOffset >= frame.linear_length()) return 0;
  return tcp_at + (frame.data()[tcp_at + kDataOffset] >> 4) * 4U;
}

}  // namespace

std::string_view name_of(Counter counter) {
  static constexpr std::array<std::string_view, CounterSet<Counter>::kSize> kNames{
      "RxFrames",           "RxTooShort",   "RxOtherHost",    "RxUnknownProtocol", "RxVlanDropped",
      "RxMulticastIgnored", "RxNoMemory",   "TxFrames",       "TxNoMemory",        "TxQueueDropped",
      "TxLinkDown",         "LinkUpEvents", "LinkDownEvents",
  };
  return kNames[static_cast<std::size_t>(counter)];
}

bool counts_drop(Counter counter) {
  switch (counter) {
    case Counter::kRxTooShort:
    case Counter::kRxOtherHost:
    case Counter::kRxUnknownProtocol:
    case Counter::kRxVlanDropped:
    case Counter::kRxMulticastIgnored:
    case Counter::kRxNoMemory:
      return true;
    default:
      return false;
  }
}

Interface::Interface(std::uint8_t id, NetDevice& device, const InterfaceConfig& config, PacketPool& pool,
                     TimerWheel& timers, Rng& rng, PacketSink& sink, Instant now)
    : id_(id),
      device_(device),
      caps_(device.caps()),
      pool_(pool),
      sink_(sink),
      mac_(device.mac()),
      mtu_(config.mtu == 0 ? device.mtu() : std::min(config.mtu, device.mtu())),
      addresses_(config.addresses),
      neighbours_(config.neighbours, *this, pool, timers, rng),
      claims_(*this, timers, rng),
      tx_queue_limit_(config.tx_queue_packets),
      tx_queue_bytes_limit_(config.tx_queue_bytes) {
  for (const IpPrefix& own : addresses_) {
    if (const std::optional<IpAddress> broadcast = own.directed_broadcast())
      broadcasts_.push_back(*broadcast);
  }
  device_.own_addresses(addresses_);
  if (config.probe_addresses) claims_.start(now);
}

Interface::~Interface() {
  device_.release_packets();
}

bool Interface::owns(const IpAddress& address) const {
  return std::any_of(addresses_.begin(), addresses_.end(),
                     [&](const IpPrefix& own) { return own.address == address; });
}

bool Interface::is_directed_broadcast(const IpAddress& address) const {
  return std::find(broadcasts_.begin(), broadcasts_.end(), address) != broadcasts_.end();
}

bool Interface::is_on_link(const IpAddress& address) const {
  return std::any_of(addresses_.begin(), addresses_.end(),
                     [&](const IpPrefix& own) { return own.contains(address); });
}

IpAddress Interface::source_for(const IpAddress& neighbour) const {
  for (const IpPrefix& own : addresses_) {
    if (own.contains(neighbour)) return own.address;
  }
  for (const IpPrefix& own : addresses_) {
    if (own.address.family() == neighbour.family()) return own.address;
  }
  return IpAddress{};
}

// --- in

std::size_t Interface::poll(std::size_t budget, Instant now) {
  const DeviceEvent event = device_.take_event();
  if (event != DeviceEvent::kNone) handle_device_event(event, now);
  const std::size_t received = device_.rx_burst(pool_, rx_batch_, budget, now);
  if (observer_ != nullptr) [[unlikely]] {
    receive_observed(now);
    return received;
  }
  // A frame that comes alone has nobody to be merged with: the common case of a request and its answer.
  const bool merge = received > 1 && gro_.try_batch(rx_batch_.front());
  const std::size_t ahead = received >= kWorthLookingAhead ? sink_.looks_ahead() : 0;
  if (ahead == 0) {
    while (PacketPtr frame = rx_batch_.pop_front()) receive(std::move(frame), merge, now);
  } else {
    receive_ahead(ahead, merge, now);
  }
  gro_.flush(received_);
  deliver(now);
  return received;
}

void Interface::receive_ahead(std::size_t ahead, bool merge, Instant now) {
  auto next = rx_batch_.begin();
  const auto tell_of_next = [&] {
    std::span<const std::uint8_t> bytes;
    if (next != rx_batch_.end()) bytes = (next++)->linear();
    if (bytes.size() < wire::EthernetHeader::kSize) {
      sink_.expect(0, {});
    } else {
      sink_.expect(load_be16(&bytes[wire::EthernetHeader::kSize - 2]),
                   bytes.subspan(wire::EthernetHeader::kSize));
    }
  };
  for (std::size_t i = 0; i < ahead; ++i) tell_of_next();
  while (PacketPtr frame = rx_batch_.pop_front()) {
    tell_of_next();
    receive(std::move(frame), merge, now);
  }
}

void Interface::receive_observed(Instant now) {
  observer_->start();
  while (PacketPtr frame = rx_batch_.pop_front()) {
    receive(std::move(frame), false, now);
    observer_->frame_done(device_);
  }
}

void Interface::handle_device_event(DeviceEvent event, Instant now) {
  const bool up = event == DeviceEvent::kLinkUp;
  counters_.add(up ? Counter::kLinkUpEvents : Counter::kLinkDownEvents);
  if (up == link_up_) return;
  link_up_ = up;
  if (up) {
    claims_.start(now);  // the other end may be another switch now
  } else {
    neighbours_.clear();
    while (PacketPtr frame = tx_queue_.pop_front()) refuse(*frame, Counter::kTxLinkDown);
  }
}

void Interface::on_frame(PacketPtr frame, Instant now) {
  receive(std::move(frame), true, now);
}

void Interface::receive(PacketPtr frame, bool merge, Instant now) {
  counters_.add(Counter::kRxFrames);
  const std::optional<std::uint16_t> ether_type = accept(*frame);
  if (!ether_type) return;
  switch (*ether_type) {
    case wire::kEtherTypeIpv4:
      if (merge) {
        gro_.add(std::move(frame), received_);
        deliver(now);
      } else {
        sink_.on_ip_packet(std::move(frame), *ether_type, *this, now);
      }
      return;
    case wire::kEtherTypeArp:
      neighbours_.on_arp(std::move(frame), now);
      return;
    default:
      counters_.add(Counter::kRxUnknownProtocol);
  }
}

void Interface::deliver(Instant now) {
  while (PacketPtr packet = received_.pop_front())
    sink_.on_ip_packet(std::move(packet), wire::kEtherTypeIpv4, *this, now);
}

std::optional<std::uint16_t> Interface::accept(Packet& frame) {
  const auto contiguous = [&](std::uint32_t n) {
    if (frame.gather(n)) return true;
    counters_.add(frame.length() < n ? Counter::kRxTooShort : Counter::kRxNoMemory);
    return false;
  };
  if (!contiguous(wire::EthernetHeader::kSize)) return std::nullopt;
  // Not EthernetHeader::parse(): whose addresses would be copied only to be looked at once.
  const std::uint8_t* header = frame.data();
  const std::uint64_t destination = wire::load_mac_word(header);
  constexpr std::uint64_t kBroadcast = 0xffff'ffff'ffff;
  frame.interface_id = id_;
  frame.link_broadcast = (header[0] & 1) != 0;
  if (destination != wire::load_mac_word(mac_.bytes.data()) && destination != kBroadcast) {
    counters_.add(frame.link_broadcast ? Counter::kRxMulticastIgnored : Counter::kRxOtherHost);
    return std::nullopt;
  }
  const std::uint16_t ether_type = load_be16(header + 12);
  frame.set_link_header();
  frame.pull(wire::EthernetHeader::kSize);
  if (ether_type != wire::kEtherTypeVlan) return ether_type;

  // IEEE 802.1Q §6.9: VLAN 0 carries only a priority; the frame is untagged in all else.
  if (!contiguous(wire::VlanTag::kSize)) return std::nullopt;
  const auto tag = *wire::VlanTag::parse(frame.linear());
  if (tag.id != 0) {
    counters_.add(Counter::kRxVlanDropped);
    return std::nullopt;
  }
  frame.pull(wire::VlanTag::kSize);
  return tag.ether_type;
}

// --- out

void Interface::transmit(PacketPtr&& packet, const IpAddress& next_hop, Instant now) {
  if (!link_up_) {
    counters_.add(Counter::kTxLinkDown);
    return;
  }
  const std::uint16_t ether_type = next_hop.is_v4() ? wire::kEtherTypeIpv4 : wire::kEtherTypeIpv6;
  if (const MacAddress* mac = neighbours_.find(next_hop, now)) {
    send_frame(std::move(packet), *mac, ether_type, now);
  } else if (next_hop.is_multicast()) {
    send_frame(std::move(packet), multicast_mac(next_hop), ether_type, now);
  } else {
    neighbours_.resolve(std::move(packet), next_hop, now);
  }
}

void Interface::transmit_broadcast(PacketPtr packet, Instant now) {
  if (!link_up_) {
    counters_.add(Counter::kTxLinkDown);
    return;
  }
  send_frame(std::move(packet), MacAddress::broadcast(), wire::kEtherTypeIpv4, now);
}

void Interface::fail(PacketPtr packet, Instant now) {
  sink_.on_unreachable(std::move(packet), *this, now);
}

void Interface::send_frame(PacketPtr&& packet, const MacAddress& destination, std::uint16_t ether_type,
                           Instant now) {
  constexpr auto kSize = static_cast<std::uint32_t>(wire::EthernetHeader::kSize);
  assert(packet->headroom() >= kSize && packet->headroom_writable());
  wire::EthernetHeader{destination, mac_, ether_type}.emit({packet->push(kSize), kSize});
  packet->set_link_header();
  if (packet->offload.needs_checksum) {
    packet->offload.checksum_start = static_cast<std::uint16_t>(packet->offload.checksum_start + kSize);
  }
  if (ether_type == wire::kEtherTypeArp) {
    enqueue(std::move(packet), tx_queue_limit_ + kTxQueueReserve, now);
  } else {
    prepare(std::move(packet), now);
  }
}

inline void Interface::prepare(PacketPtr&& frame, Instant now) {
  if (frame->offload.gso_size == 0 || device_segments(*frame)) {
    prepare_one(std::move(frame), now);
    return;
  }
  PacketQueue segments;
  const SegmentPayload payload = caps_.scatter ? SegmentPayload::kShare : SegmentPayload::kCopy;
  if (!segment(std::move(frame), segments, payload)) {
    counters_.add(Counter::kTxNoMemory);
    return;
  }
  while (PacketPtr piece = segments.pop_front()) prepare_one(std::move(piece), now);
}

bool Interface::device_segments(const Packet& frame) const {
  return caps_.tso && frame.length() - tcp_payload_at(frame) <= caps_.max_gso_bytes;
}

inline void Interface::prepare_one(PacketPtr&& frame, Instant now) {
  if ((frame->offload.needs_checksum && !caps_.tx_checksum && !complete_checksum(*frame)) ||
      (frame->fragment_count() != 0 && !caps_.scatter && !frame->gather(frame->length()))) {
    counters_.add(Counter::kTxNoMemory);
    return;
  }
  enqueue(std::move(frame), tx_queue_limit_, now);
}

bool Interface::make_place(const Packet& frame, std::size_t limit, Instant now) {
  if (link_up_) {
    flush(now);
    if (tx_queue_.size() < limit) return true;
  }
  refuse(frame, link_up_ ? Counter::kTxQueueDropped : Counter::kTxLinkDown);
  return false;
}

void Interface::refuse(const Packet& frame, Counter counter) {
  counters_.add(counter);
  device_.frame_not_sent(frame, name_of(counter));
}

std::uint32_t Interface::max_gso_bytes() const {
  // What an IPv4 packet can hold behind the largest TCP header.
  constexpr std::uint32_t kLargest = 65535 - 20 - 60;
  return caps_.tso ? std::min(caps_.max_gso_bytes, kLargest) : kLargest;
}

}  // namespace millrace::link
