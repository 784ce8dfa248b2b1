#include "packetdrill/wire_device.h"

#include <algorithm>
#include <utility>

#include "wire/ethernet.h"

namespace millrace::packetdrill {

namespace {

/// Drivers receive into buffers that fit any frame of the MTU, however short this one is.
constexpr std::size_t kFrameRoom = 2048;

}  // namespace

void WireDevice::inject(std::span<const std::uint8_t> packet) {
  wire::EthernetHeader header;
  header.destination = kOwnMac;
  header.source = kPeerMac;
  header.ether_type = !packet.empty() && packet[0] >> 4 == 6 ? wire::kEtherTypeIpv6 : wire::kEtherTypeIpv4;
  std::vector<std::uint8_t> frame(wire::EthernetHeader::kSize + packet.size());
  header.emit(frame);
  std::copy(packet.begin(), packet.end(), frame.begin() + wire::EthernetHeader::kSize);
  incoming_.push_back(std::move(frame));
}

SentPacket WireDevice::take_sent() {
  SentPacket packet = std::move(sent_.front());
  sent_.pop_front();
  return packet;
}

std::size_t WireDevice::rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) {
  std::size_t received = 0;
  for (; received < budget && !incoming_.empty(); ++received) {
    const std::vector<std::uint8_t> frame = std::move(incoming_.front());
    incoming_.pop_front();
    PacketPtr packet = pool.allocate(std::max(frame.size(), kFrameRoom), 0);
    if (packet == nullptr) {
      ++stats_.rx_no_memory;
      continue;
    }
    std::copy(frame.begin(), frame.end(), packet->put(static_cast<std::uint32_t>(frame.size())));
    packet->timestamp = now;
    out.push_back(std::move(packet));
    ++stats_.rx_packets;
  }
  return received;
}

std::size_t WireDevice::tx_burst(PacketQueue& packets, Instant now) {
  std::size_t taken = 0;
  for (; !packets.empty(); ++taken) {
    const PacketPtr frame = packets.pop_front();
    SentPacket sent;
    sent.at = now;
    sent.bytes.resize(frame->length() - wire::EthernetHeader::kSize);
    frame->copy_out(wire::EthernetHeader::kSize, sent.bytes);
    sent_.push_back(std::move(sent));
    ++stats_.tx_packets;
  }
  return taken;
}

}  // namespace millrace::packetdrill
