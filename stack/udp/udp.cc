#include "udp/udp.h"

#include <algorithm>
#include <array>

#include "udp/udp_socket.h"
#include "wire/pseudo_header.h"
#include "wire/udp.h"

namespace millrace::udp {

namespace {

using wire::UdpHeader;
constexpr std::uint32_t kHeader = UdpHeader::kSize;

[[nodiscard]] bool checksum_is_right(const Packet& packet, const UdpHeader& header,
                                     const ip::PacketInfo& info) {
  // RFC 768: zero means that the sender made none; the device may have looked already.
  if (header.checksum == 0 || packet.offload.rx_checksum != Offload::RxChecksum::kUnknown) return true;
  ChecksumSum sum =
      wire::pseudo_header_sum(info.source, info.destination, wire::kProtocolUdp, packet.length());
  std::size_t at = 0;
  packet.for_each_piece(0, packet.length(), [&](std::span<const std::uint8_t> piece) {
    sum.add_at(at, piece);
    at += piece.size();
  });
  return sum.finish() == 0;
}

}  // namespace

bool counts_drop(Counter counter) {
  switch (counter) {
    case Counter::kNoPorts:
    case Counter::kInErrors:
    case Counter::kInCsumErrors:
    case Counter::kRcvbufErrors:
      return true;
    default:
      return false;
  }
}

std::string_view name_of(Counter counter) {
  static constexpr std::array<std::string_view, CounterSet<Counter>::kSize> kNames{
      "UdpInDatagrams",  "UdpNoPorts",     "UdpInErrors",   "UdpInCsumErrors", "UdpRcvbufErrors",
      "UdpOutDatagrams", "UdpOutNoMemory", "UdpOutBlocked", "UdpIcmpErrors",
  };
  return kNames[static_cast<std::size_t>(counter)];
}

struct Udp::Waiters {
  boost::intrusive::list<
      UdpSocket,
      boost::intrusive::member_hook<UdpSocket, decltype(UdpSocket::wait_hook), &UdpSocket::wait_hook>,
      boost::intrusive::constant_time_size<false>>
      list;
};

Udp::Udp(const Config& config, ip::IpLayer& ip, ReadyList& ready, Rng& rng)
    : config_(config), ip_(ip), ready_(ready), rng_(rng), table_(rng), waiters_(std::make_unique<Waiters>()) {
  ip_.register_transport(wire::kProtocolUdp, *this);
}

Udp::~Udp() = default;

std::unique_ptr<Socket> Udp::create_socket(IpAddress::Family family) {
  return std::make_unique<UdpSocket>(*this, family, ready_);
}

std::unique_ptr<Socket> Udp::create_twin(const UdpSocket& model, bool guest) {
  return std::make_unique<UdpSocket>(*this, model, guest, ready_);
}

void Udp::on_packet(PacketPtr packet, const ip::PacketInfo& info, Instant now) {
  const std::uint32_t arrived = packet->length();
  if (arrived < kHeader || !packet->gather(kHeader)) {
    counters_.add(Counter::kInErrors);
    return;
  }
  const auto header = *UdpHeader::parse(packet->linear());
  if (header.length < kHeader || header.length > arrived) {
    counters_.add(Counter::kInErrors);
    return;
  }
  packet->trim(header.length);
  if (!checksum_is_right(*packet, header, info)) {
    counters_.add(Counter::kInCsumErrors);
    counters_.add(Counter::kInErrors);
    return;
  }
  const Endpoint local{info.destination, header.destination_port};
  const Endpoint remote{info.source, header.source_port};
  packet->set_transport_header();
  if (info.broadcast) {
    packet->pull(kHeader);
    deliver_broadcast(std::move(packet), local, remote, now);
    return;
  }
  UdpSocket* const socket = table_.find(local, remote);
  if (socket == nullptr) {
    counters_.add(Counter::kNoPorts);
    ip_.send_port_unreachable(*packet, info, now);  // RFC 1122 §4.1.3.1
    return;
  }
  packet->pull(kHeader);
  socket->on_datagram(std::move(packet));
}

/// To every socket that listens on the port, each with a copy that shares the payload.
void Udp::deliver_broadcast(PacketPtr packet, const Endpoint& local, const Endpoint& remote, Instant now) {
  (void)now, (void)remote;
  const std::array<const SocketTable::Group*, 3> groups{
      table_.bound_to(local), table_.bound_to({IpAddress{}, local.port}),
      table_.bound_to({IpAddress::any(IpAddress::Family::kV6), local.port})};
  const auto headers = static_cast<std::uint32_t>(packet->data() - packet->network_header());
  UdpSocket* last = nullptr;
  for (const SocketTable::Group* group : groups) {
    if (group == nullptr) continue;
    for (UdpSocket* socket : *group) {
      if (!local.address.is_v6() && socket->v6_only()) continue;
      if (UdpSocket* const earlier = std::exchange(last, socket)) {
        packet->push(headers);
        PacketPtr copy = packet->clone(headers, 0);
        packet->pull(headers);
        if (copy == nullptr) {
          counters_.add(Counter::kInErrors);
          continue;
        }
        copy->pull(headers);
        earlier->on_datagram(std::move(copy));
      }
    }
  }
  if (last == nullptr) {
    counters_.add(Counter::kNoPorts);
    return;
  }
  last->on_datagram(std::move(packet));
}

void Udp::on_icmp_error(const ip::IcmpError& error, Instant now) {
  const auto header = UdpHeader::parse(error.transport_header);
  const Endpoint local{error.source, header->source_port};
  const Endpoint remote{error.destination, header->destination_port};
  UdpSocket* const socket = table_.find(local, remote);
  if (socket == nullptr) return;
  counters_.add(Counter::kIcmpErrors);
  if (error.kind == ip::IcmpError::Kind::kFragmentationNeeded)
    ip_.confirm_path_mtu(error.destination, error.mtu, now);
  // RFC 1122 §4.1.3.3; only a connected socket can say whom the error is about.
  if (socket->is_connected()) socket->on_icmp_error(error);
}

void Udp::wait(UdpSocket& socket) {
  waiters_->list.push_back(socket);
}

void Udp::resume_senders() {
  auto& waiting = waiters_->list;
  for (auto it = waiting.begin(); it != waiting.end();) {
    UdpSocket& socket = *it++;
    if (socket.may_resume()) socket.resume();
  }
}

std::uint16_t Udp::choose_port(const UdpSocket& socket, const IpAddress& address, const PeerOf* peer) {
  const std::uint32_t count = std::uint32_t{config_.ephemeral_last} - config_.ephemeral_first + 1;
  const std::uint32_t start = rng_.below(count);
  // Rather a port that nobody has; then one that may be shared, or is free at this address.
  for (const bool shared : {false, true}) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto port = static_cast<std::uint16_t>(config_.ephemeral_first + (start + i) % count);
      if (peer != nullptr && !peer->route.comes_home({peer->source, port}, peer->remote)) continue;
      if (shared ? !table_.conflicts(socket, {address, port}) : !table_.port_in_use(port)) return port;
    }
  }
  return 0;
}

}  // namespace millrace::udp
