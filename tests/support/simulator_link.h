#pragma once

#include <array>
#include <cstdint>
#include <queue>
#include <string>
#include <vector>

#include "base/rng.h"
#include "link/net_device.h"

namespace millrace::test {

/// What a direction of a simulated link does to frames.
struct LinkModel {
  std::uint64_t bits_per_second = 0;  ///< 0: no limit
  Duration delay{0};
  std::size_t queue_bytes = std::size_t{1}
                            << 20;  ///< more than this waiting: the frame is lost (or the device is full)
  bool backpressure = false;        ///< a full queue stops the sender instead of losing frames
  double loss = 0, duplicate = 0, corrupt = 0, reorder = 0;
  Duration reorder_delay{0};  ///< extra delay of reordered frames, at most
};

struct LinkStats {
  std::uint64_t sent = 0, lost = 0, overflowed = 0, duplicated = 0, corrupted = 0, reordered = 0,
                delivered = 0;
};

class SimulatedDevice;

/// A full-duplex link between two devices, in virtual time, with a random stream of its own.
class SimulatedLink {
 public:
  SimulatedLink(const LinkModel& model, std::uint64_t seed) : models_{model, model}, rng_(seed) {}

  [[nodiscard]] const LinkModel& model() const { return models_[0]; }
  [[nodiscard]] const LinkStats& stats(int direction) const {
    return stats_[static_cast<std::size_t>(direction)];
  }
  /// When the next frame arrives at either end, or a full queue has room again; kNever when the link is
  /// empty.
  [[nodiscard]] Instant next_event(int end) const;
  /// Something to receive at this end by now.
  [[nodiscard]] bool arrived(int end, Instant now) const;

 private:
  friend class SimulatedDevice;
  struct Frame {
    Instant at;
    std::uint64_t number = 0;
    std::vector<std::uint8_t> bytes;
    Offload offload;
    friend bool operator>(const Frame& a, const Frame& b) {
      return a.at != b.at ? a.at > b.at : a.number > b.number;
    }
  };
  struct Direction {
    std::priority_queue<Frame, std::vector<Frame>, std::greater<>> in_flight;
    Instant busy_until{};
    Instant room_at = kNever;
  };

  /// False: backpressure, nothing was taken.
  [[nodiscard]] bool send(int from, const Packet& packet, Instant now);
  void put(Direction& direction, std::size_t index, Frame frame);
  [[nodiscard]] Direction& towards(int end) { return directions_[static_cast<std::size_t>(1 - end)]; }

  std::array<LinkModel, 2> models_;
  std::array<Direction, 2> directions_;  ///< by sender
  std::array<LinkStats, 2> stats_;
  Rng rng_;
  std::uint64_t number_ = 0;
};

/// One end of a SimulatedLink.
class SimulatedDevice final : public NetDevice {
 public:
  SimulatedDevice(SimulatedLink& link, int end, const DeviceCaps& caps, std::uint32_t mtu);

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override;
  std::size_t tx_burst(PacketQueue& packets, Instant now) override;
  [[nodiscard]] std::span<const WaitFd> wait_fds() override { return {}; }
  [[nodiscard]] bool arm() override { return false; }
  [[nodiscard]] bool tx_full() const override { return full_; }
  [[nodiscard]] const DeviceCaps& caps() const override { return caps_; }
  [[nodiscard]] MacAddress mac() const override { return mac_of(end_); }
  [[nodiscard]] std::uint32_t mtu() const override { return mtu_; }
  [[nodiscard]] std::string_view name() const override { return end_ == 0 ? "sim:a" : "sim:b"; }
  [[nodiscard]] DeviceStats stats() override { return stats_; }

  [[nodiscard]] static MacAddress mac_of(int end) {
    return MacAddress{{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(end + 1)}};
  }
  /// Called with each frame that the stack hands over: for tracing and for stall detection.
  using Observer = void (*)(void* owner, int end, std::span<const std::uint8_t> frame, bool received,
                            Instant now);
  void observe(Observer observer, void* owner) {
    observer_ = observer;
    observer_owner_ = owner;
  }

 private:
  SimulatedLink& link_;
  int end_;
  DeviceCaps caps_;
  std::uint32_t mtu_;
  DeviceStats stats_;
  bool full_ = false;
  Observer observer_ = nullptr;
  void* observer_owner_ = nullptr;
};

}  // namespace millrace::test
