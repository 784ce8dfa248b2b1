#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "link/net_device.h"

namespace millrace::test {

/// A frame that a stack gave to its device, copied out at once so that no storage stays in use.
struct SentFrame {
  std::vector<std::uint8_t> bytes;
  Offload offload;
  std::size_t fragment_count = 0;
  Instant at{};
};

/// A device in memory: tests inject frames and look at what was sent.
class FakeDevice final : public NetDevice {
 public:
  // --- what it is, to be set before the interface is made
  DeviceCaps capabilities;
  MacAddress address{{0x02, 0, 0, 0, 0, 1}};
  std::uint32_t link_mtu = 1500;
  /// Whether received frames lie in storage of the device's own, as in a ring, and how much of it is out.
  bool lends = false;
  std::size_t lent = 0;
  /// How many more frames it takes before it is full.
  std::size_t room = std::numeric_limits<std::size_t>::max();

  // --- the test's side
  void inject(std::span<const std::uint8_t> bytes, const Offload& offload = {}) {
    incoming_.push_back({{bytes.begin(), bytes.end()}, offload});
  }
  void tell(DeviceEvent event) { event_ = event; }
  /// What was sent since the last call.
  [[nodiscard]] std::vector<SentFrame> take_sent() { return std::exchange(sent_, {}); }
  [[nodiscard]] const std::vector<SentFrame>& sent() const { return sent_; }

  // --- NetDevice
  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override {
    std::size_t received = 0;
    for (; received < budget && !incoming_.empty(); ++received) {
      const Incoming frame = std::move(incoming_.front());
      incoming_.pop_front();
      PacketPtr packet = lends ? lend(pool, frame.bytes) : copy(pool, frame.bytes);
      if (packet == nullptr) {
        ++stats_.rx_no_memory;
        continue;
      }
      packet->offload = frame.offload;
      packet->timestamp = now;
      out.push_back(std::move(packet));
    }
    return received;
  }
  std::size_t tx_burst(PacketQueue& packets, Instant now) override {
    std::size_t taken = 0;
    for (; room > 0 && !packets.empty(); ++taken) {
      const PacketPtr packet = packets.pop_front();
      SentFrame frame;
      frame.bytes.resize(packet->length());
      packet->copy_out(0, frame.bytes);
      frame.offload = packet->offload;
      frame.fragment_count = packet->fragment_count();
      frame.at = now;
      sent_.push_back(std::move(frame));
      if (room != std::numeric_limits<std::size_t>::max()) --room;
    }
    full_ = !packets.empty();
    return taken;
  }
  [[nodiscard]] std::span<const WaitFd> wait_fds() override { return {}; }
  [[nodiscard]] bool arm() override { return !incoming_.empty(); }
  [[nodiscard]] bool tx_full() const override { return full_; }
  [[nodiscard]] DeviceEvent take_event() override { return std::exchange(event_, DeviceEvent::kNone); }
  [[nodiscard]] const DeviceCaps& caps() const override { return capabilities; }
  [[nodiscard]] MacAddress mac() const override { return address; }
  [[nodiscard]] std::uint32_t mtu() const override { return link_mtu; }
  [[nodiscard]] std::string_view name() const override { return "fake"; }
  [[nodiscard]] DeviceStats stats() override { return stats_; }

 private:
  /// Drivers receive into buffers that fit any frame of the MTU, however short this one is.
  static constexpr std::size_t kFrameRoom = 2048;

  static PacketPtr copy(PacketPool& pool, const std::vector<std::uint8_t>& bytes) {
    PacketPtr packet = pool.allocate(std::max(bytes.size(), kFrameRoom), 0);
    if (packet != nullptr)
      std::copy(bytes.begin(), bytes.end(), packet->put(static_cast<std::uint32_t>(bytes.size())));
    return packet;
  }
  PacketPtr lend(PacketPool& pool, const std::vector<std::uint8_t>& bytes) {
    struct Slot {
      FakeDevice* device;
      PacketPool* pool;
      std::vector<std::uint8_t> bytes;
    };
    auto* slot = new Slot{this, &pool, bytes};
    const auto size = static_cast<std::uint32_t>(bytes.size());
    const auto give_back = [](Buffer* buffer) {
      auto* owner = static_cast<Slot*>(buffer->owner());
      --owner->device->lent;
      owner->pool->free_external(buffer);
      delete owner;
    };
    BufferRef buffer = pool.adopt(slot->bytes.data(), size, give_back, slot);
    ++lent;
    return pool.wrap(std::move(buffer), 0, size);
  }

  struct Incoming {
    std::vector<std::uint8_t> bytes;
    Offload offload;
  };
  std::deque<Incoming> incoming_;
  std::vector<SentFrame> sent_;
  DeviceStats stats_;
  DeviceEvent event_ = DeviceEvent::kNone;
  bool full_ = false;
};

}  // namespace millrace::test
