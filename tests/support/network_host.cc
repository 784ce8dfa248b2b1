#include "support/network_host.h"

#include "link/gso.h"

namespace millrace::test {

namespace {

constexpr std::uint32_t kEthernetHeader = 14;
constexpr std::size_t kDestinationAt = kEthernetHeader + 16;  // in an IPv4 header

DeviceCaps caps_for(bool super_frames) {
  DeviceCaps caps;
  caps.tx_checksum = caps.rx_checksum = caps.scatter = true;
  caps.tso = super_frames;
  caps.max_gso_bytes = super_frames ? 65000 : 0;
  return caps;
}

Rng::Seed seed_bytes(std::uint64_t number) {
  Rng::Seed seed{};
  for (std::size_t i = 0; i < 8; ++i) seed[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return seed;
}

/// The host that an IPv4 frame is for.
std::uint32_t destination_of(const Packet& frame) {
  const std::uint8_t* const address = frame.data() + kDestinationAt;
  return (std::uint32_t{address[2]} << 8 | address[3]) - 1;
}

}  // namespace

NetworkDevice::NetworkDevice(NetworkLink& out, NetworkLink& in, std::size_t number, bool super_frames)
    : out_(out), in_(in), number_(number), caps_(caps_for(super_frames)) {}

std::size_t NetworkDevice::rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) {
  std::size_t received = 0;
  for (; received < budget; ++received) {
    const PacketPtr sent = in_.receive(now).packet;
    if (sent == nullptr) break;
    PacketPtr packet = pool.allocate(sent->length(), 0);
    if (packet == nullptr) continue;
    sent->copy_out(0, {packet->put(sent->length()), sent->length()});
    packet->offload = sent->offload;
    packet->timestamp = now;
    out.push_back(std::move(packet));
  }
  if (received != 0) last_frame_ = now;
  return received;
}

std::size_t NetworkDevice::tx_burst(PacketQueue& packets, Instant now) {
  std::size_t taken = 0;
  last_frame_ = now;
  for (; PacketPtr packet = packets.pop_front(); ++taken) {
    if (packet->offload.gso_size == 0) {
      pieces_.push_back(std::move(packet));
    } else if (!link::segment(std::move(packet), pieces_)) {
      continue;
    }
    while (PacketPtr piece = pieces_.pop_front()) {
      piece->offload = {};
      piece->offload.rx_checksum = Offload::RxChecksum::kVerified;
      const std::uint32_t bytes = piece->length() - kEthernetHeader;
      const std::uint32_t to = destination_of(*piece);
      out_.send({std::move(piece), bytes, to}, now);
    }
  }
  return taken;
}

NetworkHost::NetworkHost(const StackConfig& config, NetworkLink& out, NetworkLink& in, std::size_t number,
                         std::uint64_t seed, bool super_frames, Instant now)
    : device(out, in, number, super_frames), stack(config, seed_bytes(seed), now) {
  link::InterfaceConfig interface;
  interface.addresses = {IpPrefix{address_of(number), 15}};
  interface.probe_addresses = false;
  stack.add_interface(device, interface, now);
  listener = std::move(*stack.create_socket(SocketType::kStream));
  static_cast<void>(listener->bind({IpAddress{}, kPort}));
  static_cast<void>(listener->listen(256, now));
}

std::string NetworkHost::left_over() {
  const PacketPool& pool = stack.pool();
  tcp::Tcp& tcp = stack.tcp();
  if (pool.bytes_in_use() != 0 || pool.packets_in_use() != 0 || pool.buffers_in_use() != 0)
    return std::to_string(pool.bytes_in_use()) + " bytes of packets";
  if (tcp.send_budget().used() != 0) return std::to_string(tcp.send_budget().used()) + " bytes to send";
  if (tcp.receive_budget().used() != 0)
    return std::to_string(tcp.receive_budget().used()) + " bytes of promised windows";
  if (tcp.flows().size() != 0) return std::to_string(tcp.flows().size()) + " flows";
  return {};
}

}  // namespace millrace::test
