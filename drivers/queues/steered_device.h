#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "decorator.h"
#include "queues/flow_queues.h"
#include "queues/mailbox.h"

namespace millrace::drivers {

/// One queue of a device that has several: in front of the queue, it sees to it that every frame comes up in
/// the queue where it belongs (FrameHome), whatever the device made of it. A frame that came in by another
/// one is copied into that queue's Mailbox. ARP goes to all of them.
class SteeredDevice final : public DecoratorDevice {
 public:
  using Mailboxes = std::shared_ptr<std::vector<Mailbox>>;
  static constexpr std::size_t kMaxQueues = 64;

  /// `mac`: of all queues.
  SteeredDevice(std::unique_ptr<NetDevice> inner, std::uint32_t index, MacAddress mac, Mailboxes mailboxes);

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override;
  std::size_t tx_burst(PacketQueue& packets, Instant now) override { return inner().tx_burst(packets, now); }
  /// The interface is one: the first queue keeps others from what is ours.
  void own_addresses(std::span<const IpPrefix> addresses) override {
    if (index_ == 0) inner().own_addresses(addresses);
  }
  [[nodiscard]] bool take_reassembled(const Packet& packet) override;
  [[nodiscard]] bool wants_fates() const override { return inner().wants_fates(); }
  void frame_done(std::string_view counters) override;
  void frame_not_sent(const Packet& frame, std::string_view counter) override {
    inner().frame_not_sent(frame, counter);
  }
  void release_packets() override;
  [[nodiscard]] std::span<const WaitFd> wait_fds() override;
  [[nodiscard]] bool arm() override;
  [[nodiscard]] DeviceStats stats() override;
  [[nodiscard]] std::vector<int> descriptors() const override;
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> extended_stats() override;
  [[nodiscard]] MacAddress mac() const override { return mac_; }
  [[nodiscard]] std::uint32_t queue_index() const override { return index_; }
  [[nodiscard]] std::uint32_t queue_for(std::uint32_t local_address, std::uint16_t local_port,
                                        std::uint32_t remote_address,
                                        std::uint16_t remote_port) const override;

 private:
  /// What the device below knows of a frame.
  enum class Fate : std::uint8_t {
    kOurs,        ///< came in here, and up
    kHandedOver,  ///< came in here: done with, as far as this queue is concerned
    kTakenOver,   ///< came in by another queue, which has recorded it
  };

  /// True: the frame is for this queue.
  [[nodiscard]] bool keep(Packet& frame);
  void post(std::uint32_t queue, Mailbox::Letter letter);
  [[nodiscard]] static Mailbox::Letter copy_of(const Packet& frame);

  std::uint32_t index_;
  MacAddress mac_;
  Mailboxes mailboxes_;
  FlowQueues queues_;
  PacketQueue batch_;
  std::vector<Fate> fates_;  ///< of the frames of the last rx_burst; empty when nobody wants to know
  std::size_t next_fate_ = 0;
  std::array<WaitFd, 8> wait_fds_{};
  std::uint64_t handed_over_ = 0, taken_ = 0, overflowed_ = 0, lost_ = 0;
};

/// Puts a SteeredDevice in front of each queue of a device, in their order.
[[nodiscard]] std::vector<std::unique_ptr<NetDevice>> steer(std::vector<std::unique_ptr<NetDevice>> queues);

}  // namespace millrace::drivers
