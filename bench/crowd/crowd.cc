#include "crowd.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <thread>

namespace millrace::bench {

namespace {

using wire::TcpFlags;

constexpr std::uint16_t kFirstPort = 1024;
constexpr std::size_t kPorts = 65536 - kFirstPort;
constexpr std::size_t kHandshakes = 256;  // at once, so that no queue of the server's overflows
constexpr std::uint32_t kRequest = 64;
constexpr std::uint8_t kRequestByte = 0x5a;
constexpr auto kLost = std::chrono::milliseconds(500);
constexpr auto kTimeToFind = std::chrono::seconds(5);

/// Unlike for each connection, and the same in each run.
SeqNum first_seq(std::size_t index) {
  return SeqNum{static_cast<std::uint32_t>(index) * 2654435761U};
}

std::vector<IpPrefix> addresses_of(const CrowdSettings& settings) {
  std::vector<IpPrefix> all;
  for (std::uint32_t i = 0; i < settings.addresses; ++i)
    all.push_back({IpAddress::v4(settings.first.v4_value() + i), 32});
  return all;
}

}  // namespace

Crowd::Crowd(const CrowdSettings& settings)
    : settings_(settings),
      port_(settings.device, addresses_of(settings)),
      peers_(settings.connections),
      last_allowance_(Clock::now()),
      last_resend_(last_allowance_) {
  if (settings.connections > kPorts * settings.addresses) throw std::runtime_error("too few addresses");
  find_server();
}

// --- who is who

Endpoint Crowd::endpoint_of(std::size_t index) const {
  const auto address = static_cast<std::uint32_t>(index % settings_.addresses);
  return {IpAddress::v4(settings_.first.v4_value() + address),
          static_cast<std::uint16_t>(kFirstPort + index / settings_.addresses)};
}

std::optional<std::size_t> Crowd::index_of(const Endpoint& endpoint) const {
  const std::uint32_t address = endpoint.address.v4_value() - settings_.first.v4_value();
  if (address >= settings_.addresses || endpoint.port < kFirstPort) return std::nullopt;
  const std::size_t index = std::size_t{endpoint.port} - kFirstPort;
  const std::size_t place = index * settings_.addresses + address;
  return place < peers_.size() ? std::optional(place) : std::nullopt;
}

Endpoint Crowd::server_of(std::size_t index) const {
  const std::size_t each = (peers_.size() + settings_.ports - 1) / settings_.ports;
  return {settings_.server.address, static_cast<std::uint16_t>(settings_.server.port + index / each)};
}

void Crowd::find_server() {
  const auto end = Clock::now() + kTimeToFind;
  while (!server_mac_ && Clock::now() < end) {
    send_arp(wire::ArpPacket::kRequest, settings_.first, MacAddress{}, settings_.server.address);
    flush();
    for (int i = 0; i < 100 && !server_mac_; ++i) {
      if (!receive()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  if (!server_mac_) throw std::runtime_error("nobody answers for " + settings_.server.address.to_string());
}

// --- sending

std::size_t Crowd::allowance(std::size_t most) {
  const auto now = Clock::now();
  allowed_ += std::chrono::duration<double>(now - last_allowance_).count() * settings_.rate;
  last_allowance_ = now;
  allowed_ = std::min(allowed_, static_cast<double>(kHandshakes));
  const std::size_t count = std::min(most, static_cast<std::size_t>(allowed_));
  allowed_ -= static_cast<double>(count);
  return count;
}

void Crowd::send_arp(std::uint16_t operation, const IpAddress& sender, const MacAddress& target_mac,
                     const IpAddress& target) {
  PacketPtr frame = port_.pool.allocate(wire::EthernetHeader::kSize + wire::ArpPacket::kSize);
  if (!frame) return;
  const bool request = operation == wire::ArpPacket::kRequest;
  const MacAddress own = port_.device->mac();
  wire::EthernetHeader{request ? MacAddress::broadcast() : target_mac, own, wire::kEtherTypeArp}.emit(
      {frame->put(wire::EthernetHeader::kSize), wire::EthernetHeader::kSize});
  wire::ArpPacket{operation, own, sender, target_mac, target}.emit(
      {frame->put(wire::ArpPacket::kSize), wire::ArpPacket::kSize});
  out_.push_back(std::move(frame));
}

void Crowd::send_segment(std::size_t index, std::uint8_t flags, std::uint32_t payload) {
  const Peer& peer = peers_[index];
  PacketPtr frame = port_.pool.allocate(kTcpHeaders + payload);
  if (!frame) return;
  write_tcp_headers(frame->put(kTcpHeaders), {.to = *server_mac_,
                                              .from = port_.device->mac(),
                                              .source = endpoint_of(index),
                                              .destination = server_of(index),
                                              .seq = peer.snd_nxt,
                                              .ack = (flags & TcpFlags::kAck) != 0 ? peer.rcv_nxt : SeqNum{},
                                              .flags = flags,
                                              .window = 65535,
                                              .payload = payload});
  if (payload > 0) std::memset(frame->put(payload), kRequestByte, payload);
  leave_tcp_checksum(frame->offload);
  out_.push_back(std::move(frame));
  if (out_.size() >= Port::kBurst) flush();
}

/// What the device has no room for is lost: it is sent again, or was an answer to what will be.
void Crowd::flush() {
  port_.send(out_);
  out_.clear();
}

void Crowd::send_syn(std::size_t index) {
  peers_[index] = {first_seq(index), {}, State::kSynSent};
  send_segment(index, TcpFlags::kSyn);
}

bool Crowd::connect_some() {
  const auto now = Clock::now();
  const std::size_t room = kHandshakes - std::min(kHandshakes, waiting_);
  const std::size_t count = allowance(std::min(room, peers_.size() - opened_));
  for (std::size_t i = 0; i < count; ++i, ++waiting_) send_syn(opened_++);
  if (now - last_resend_ >= kLost) resend_lost(now);
  flush();
  return count > 0;
}

void Crowd::resend_lost(Clock::time_point now) {
  last_resend_ = now;
  while (first_waiting_ < opened_ && peers_[first_waiting_].state != State::kSynSent) ++first_waiting_;
  for (std::size_t i = first_waiting_; i < opened_; ++i) {
    if (peers_[i].state != State::kSynSent) continue;
    send_syn(i);
    ++counters_.resent;
  }
}

void Crowd::ask(std::size_t index) {
  Peer& peer = peers_[index];
  if (peer.state != State::kOpen) return;
  send_segment(index, TcpFlags::kAck | TcpFlags::kPsh, kRequest);
  peer.snd_nxt += kRequest;
  flush();
}

template <typename Send>
bool Crowd::send_on_some(std::size_t& next, Send send) {
  for (std::size_t left = allowance(Port::kBurst); left > 0 && next < peers_.size(); ++next) {
    if (peers_[next].state != State::kOpen) continue;
    send(next);
    --left;
  }
  flush();
  return next < peers_.size();
}

bool Crowd::acknowledge_some() {
  return send_on_some(acknowledged_, [this](std::size_t index) {
    send_segment(index, TcpFlags::kAck);
    ++counters_.acknowledged;
  });
}

bool Crowd::reset_some() {
  return send_on_some(reset_, [this](std::size_t index) {
    send_segment(index, TcpFlags::kRst | TcpFlags::kAck);
    peers_[index].state = State::kClosed;
  });
}

// --- receiving

bool Crowd::receive() {
  if (port_.receive(in_) == 0) return false;
  for (const Packet& frame : in_) on_frame(frame);
  in_.clear();
  flush();
  return true;
}

void Crowd::on_frame(const Packet& frame) {
  bytes_.resize(frame.length());
  frame.copy_out(0, bytes_);
  const std::span<const std::uint8_t> all(bytes_);
  const auto ethernet = wire::EthernetHeader::parse(all);
  if (!ethernet) return;
  const auto network = all.subspan(wire::EthernetHeader::kSize);
  if (ethernet->ether_type == wire::kEtherTypeArp) {
    if (const auto arp = wire::ArpPacket::parse(network)) on_arp(*arp);
    return;
  }
  if (ethernet->ether_type != wire::kEtherTypeIpv4) return;
  const auto ip = wire::Ipv4View::parse(network);
  if (!ip || ip->protocol() != wire::kProtocolTcp || ip->source() != settings_.server.address) return;
  const auto tcp = wire::TcpHeader::parse(ip->payload());
  if (!tcp) return;
  const auto index = index_of({ip->destination(), tcp->destination_port});
  if (index && tcp->source_port == server_of(*index).port)
    on_segment(*index, *tcp, ip->payload().subspan(tcp->header_length));
}

void Crowd::on_arp(const wire::ArpPacket& arp) {
  if (arp.sender_ip == settings_.server.address) server_mac_ = arp.sender_mac;
  const std::uint32_t address = arp.target_ip.v4_value() - settings_.first.v4_value();
  if (arp.operation == wire::ArpPacket::kRequest && address < settings_.addresses)
    send_arp(wire::ArpPacket::kReply, arp.target_ip, arp.sender_mac, arp.sender_ip);
}

void Crowd::on_syn_ack(std::size_t index, const wire::TcpHeader& tcp) {
  Peer& peer = peers_[index];
  if (peer.state == State::kSynSent && tcp.ack == peer.snd_nxt + 1) {
    peer = {tcp.ack, tcp.seq + 1, State::kOpen};
    --waiting_;
    ++counters_.established;
  }
  // Also when it comes again: then the server has not taken our ACK.
  if (peer.state == State::kOpen) send_segment(index, TcpFlags::kAck);
}

void Crowd::on_segment(std::size_t index, const wire::TcpHeader& tcp, std::span<const std::uint8_t> payload) {
  Peer& peer = peers_[index];
  if (tcp.has(TcpFlags::kSyn)) return on_syn_ack(index, tcp);
  if (peer.state == State::kSynSent && tcp.has(TcpFlags::kRst))
    throw std::runtime_error("the server refuses a connection");
  if (peer.state != State::kOpen) return;
  if (tcp.has(TcpFlags::kRst | TcpFlags::kFin)) {
    ++counters_.ended;
    if (tcp.has(TcpFlags::kFin)) send_segment(index, TcpFlags::kRst | TcpFlags::kAck);
    peer.state = State::kClosed;
  } else if (payload.empty()) {
    // RFC 9293 §3.8.4: a keepalive asks for an acknowledgement by a sequence number that was acknowledged.
    if (tcp.seq + 1 != peer.rcv_nxt) return;
    ++counters_.keepalives;
    send_segment(index, TcpFlags::kAck);
  } else {
    if (tcp.seq == peer.rcv_nxt) {
      peer.rcv_nxt += static_cast<std::uint32_t>(payload.size());
      const bool whole = payload.size() == kRequest;
      const bool ours =
          std::all_of(payload.begin(), payload.end(), [](std::uint8_t byte) { return byte == kRequestByte; });
      ++(whole && ours ? counters_.answers : counters_.wrong);
    }
    send_segment(index, TcpFlags::kAck);
  }
}

}  // namespace millrace::bench
