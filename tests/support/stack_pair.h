#pragma once

#include <algorithm>
#include <span>
#include <utility>

#include "stack.h"
#include "support/fake_device.h"
#include "support/frames.h"

namespace millrace::test {

/// Two stacks, 198.18.0.1 and 198.18.0.2, joined by a wire without delay. Time moves only where the test says
/// so.
class StackPair {
 public:
  struct End {
    FakeDevice device;
    Stack stack;
    link::Interface* interface = nullptr;
    IpAddress address;

    End(const StackConfig& config, std::uint8_t number, const DeviceCaps& caps, std::uint32_t mtu,
        Instant now)
        : stack(config, Rng::Seed{number}, now), address(IpAddress::v4(198, 18, 0, number)) {
      device.address.bytes[5] = number;
      device.capabilities = caps;
      device.link_mtu = mtu;
      link::InterfaceConfig interface_config;
      interface_config.addresses = {IpPrefix{address, 24}};
      interface_config.probe_addresses = false;
      interface = &stack.add_interface(device, interface_config, now);
    }
  };

  explicit StackPair(const DeviceCaps& caps = {}, std::uint32_t mtu = 1500, const StackConfig& config = {})
      : a(config, 1, caps, mtu, now), b(config, 2, caps, mtu, now) {}

  /// Turns until nothing moves any more.
  void settle() {
    for (int i = 0; i < 100; ++i) {
      a.stack.poll(now, 256);
      b.stack.poll(now, 256);
      const bool moved = carry(a.device, b.device) + carry(b.device, a.device) != 0;
      if (!moved && a.stack.next_deadline() > now && b.stack.next_deadline() > now) return;
    }
  }
  void advance(Duration by) {
    now += by;
    settle();
  }

  Instant now = kEpoch + 1000s;
  End a, b;

 private:
  static std::size_t carry(FakeDevice& from, FakeDevice& to) {
    const auto frames = from.take_sent();
    for (const SentFrame& frame : frames) {
      Offload offload = frame.offload;
      offload.rx_checksum =
          offload.needs_checksum ? Offload::RxChecksum::kPartial : Offload::RxChecksum::kUnknown;
      to.inject(frame.bytes, offload);
    }
    return frames.size();
  }
};

// --- sockets, as tests like to use them

inline Result<std::size_t> send_to(Socket& socket, std::span<const std::uint8_t> data, const Endpoint* to,
                                   Instant now) {
  const ConstIoSlice slice{data.data(), data.size()};
  return socket.send({&slice, 1}, to, {}, now);
}

struct Datagram {
  Bytes data;
  Received received;
};
inline Result<Datagram> receive_from(Socket& socket, Instant now, std::size_t room = 65536,
                                     ReceiveFlags flags = {}) {
  Datagram datagram;
  datagram.data.resize(room);
  const IoSlice slice{datagram.data.data(), room};
  const Result<Received> received = socket.receive({&slice, 1}, flags, now);
  if (!received) return received.error();
  datagram.received = *received;
  datagram.data.resize(received->bytes);
  return datagram;
}

}  // namespace millrace::test
