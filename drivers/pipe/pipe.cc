#include "pipe/pipe.h"

#include <array>
#include <cassert>

#include "pipe/link_model.h"
#include "pipe/pipe_frame.h"

namespace millrace::drivers {
namespace {

/// Frames a direction holds at most, whatever its rate and delay: a receiver that never looks must not hoard
/// memory.
constexpr std::size_t kMaxOnWire = std::size_t{1} << 17;

/// One direction. Frames lie in order of sending, each with the time of its arrival as its timestamp; those
/// that have left the transmitter come first.
///
///     [ arrived | on the wire | waiting for the transmitter ]
///                               ^first_waiting_
class Direction {
 public:
  explicit Direction(const PipeOptions& options)
      : delay_(options.delay), limit_(options.queue), transmitter_(options.rate) {}
  Direction(const Direction&) = delete;
  Direction& operator=(const Direction&) = delete;

  /// True when `segments` more would exceed the queue. An empty queue takes a frame of any size.
  [[nodiscard]] bool full(std::size_t segments, Instant now) {
    settle(now);
    return (waiting_ != 0 && waiting_ + segments > limit_) || frames_.size() >= kMaxOnWire;
  }
  void push(PacketPtr packet, Instant now) {
    packet->timestamp = transmitter_.send(pipe_wire_bytes(*packet), now) + delay_;
    waiting_ += pipe_segments(*packet);
    const bool all_had_left = first_waiting_ == frames_.end();
    frames_.push_back(std::move(packet));
    if (all_had_left) first_waiting_ = std::prev(frames_.end());
  }
  [[nodiscard]] bool arrived(Instant now) { return !frames_.empty() && frames_.front().timestamp <= now; }
  [[nodiscard]] PacketPtr pop(Instant now) {
    settle(now);
    if (first_waiting_ == frames_.begin()) {
      waiting_ -= pipe_segments(frames_.front());
      ++first_waiting_;
    }
    return frames_.pop_front();
  }
  [[nodiscard]] Instant next_arrival() { return frames_.empty() ? kNever : frames_.front().timestamp; }
  /// When a full queue has room again.
  [[nodiscard]] Instant next_room() {
    if (transmitter_.rate() == 0 || first_waiting_ == frames_.end()) return next_arrival();
    return first_waiting_->timestamp - delay_;
  }
  void clear() {
    frames_.clear();
    first_waiting_ = frames_.end();
    waiting_ = 0;
  }

  std::uint64_t dropped = 0;  ///< found the queue full

 private:
  /// Takes note of the frames that have left the transmitter. Without a rate all wait until they are
  /// received.
  void settle(Instant now) {
    if (transmitter_.rate() == 0) return;
    while (first_waiting_ != frames_.end() && first_waiting_->timestamp - delay_ <= now) {
      waiting_ -= pipe_segments(*first_waiting_);
      ++first_waiting_;
    }
  }

  Duration delay_;
  std::size_t limit_;
  Transmitter transmitter_;
  PacketQueue frames_;
  decltype(frames_.begin()) first_waiting_ = frames_.end();
  std::size_t waiting_ = 0;
};

struct Wire {
  explicit Wire(const PipeOptions& o) : options(o), directions{Direction(o), Direction(o)} {}

  const PipeOptions options;
  std::array<Direction, 2> directions;  ///< by the end that sends
  std::array<bool, 2> open{true, true};
};

class PipeEnd final : public NetDevice {
 public:
  PipeEnd(std::shared_ptr<Wire> wire, std::size_t side)
      : wire_(std::move(wire)), side_(side), caps_(pipe_caps(wire_->options)) {}
  PipeEnd(const PipeEnd&) = delete;
  PipeEnd& operator=(const PipeEnd&) = delete;
  ~PipeEnd() override {
    out().clear();
    wire_->open[side_] = false;
  }

  std::size_t rx_burst(PacketPool& pool, PacketQueue& queue, std::size_t budget, Instant now) override {
    last_now_ = now;
    std::size_t received = 0;
    while (received < budget && in().arrived(now)) {
      PacketPtr packet = take_over(pool, in().pop(now));
      if (!packet) {
        ++stats_.rx_no_memory;
        continue;
      }
      packet->offload = pipe_received(packet->offload);
      packet->timestamp = now;
      ++stats_.rx_packets;
      stats_.rx_bytes += packet->length();
      queue.push_back(std::move(packet));
      ++received;
    }
    return received;
  }

  std::size_t tx_burst(PacketQueue& packets, Instant now) override {
    last_now_ = now;
    tx_full_ = false;
    std::size_t taken = 0;
    for (; !packets.empty(); ++taken) {
      const Packet& packet = packets.front();
      if (!wire_->open[1 - side_] || !pipe_accepts(wire_->options, packet)) {
        ++stats_.tx_errors;
        (void)packets.pop_front();
        continue;
      }
      const bool full = out().full(pipe_segments(packet), now);
      if (full && !wire_->options.drops()) {
        tx_full_ = true;
        ++stats_.tx_full;
        break;
      }
      ++stats_.tx_packets;
      stats_.tx_bytes += packet.length();
      if (full) {
        ++out().dropped;
        (void)packets.pop_front();
      } else {
        out().push(packets.pop_front(), now);
      }
    }
    return taken;
  }

  void release_packets() override { out().clear(); }
  std::span<const WaitFd> wait_fds() override { return {}; }
  bool arm() override { return in().arrived(last_now_); }
  Duration max_sleep(Instant now) const override {
    Instant next = wire_->directions[1 - side_].next_arrival();
    if (tx_full_) next = std::min(next, wire_->directions[side_].next_room());
    return next == kNever ? Duration::max() : std::max(next - now, Duration::zero());
  }
  bool tx_full() const override { return tx_full_; }
  DeviceEvent take_event() override {
    if (wire_->open[1 - side_] || told_closed_) return DeviceEvent::kNone;
    told_closed_ = true;
    return DeviceEvent::kLinkDown;
  }

  const DeviceCaps& caps() const override { return caps_; }
  MacAddress mac() const override { return side_ == 0 ? wire_->options.mac_a : wire_->options.mac_b; }
  std::uint32_t mtu() const override { return wire_->options.mtu; }
  std::string_view name() const override { return wire_->options.name; }
  DeviceStats stats() override {
    stats_.rx_dropped = in().dropped;
    return stats_;
  }

 private:
  [[nodiscard]] Direction& out() { return wire_->directions[side_]; }
  [[nodiscard]] Direction& in() { return wire_->directions[1 - side_]; }

  /// The frame as a packet of the receiving pool; null without memory.
  static PacketPtr take_over(PacketPool& pool, PacketPtr packet) {
    if (&packet->pool() == &pool) {
      packet->interface_id = 0;
      packet->link_broadcast = false;
      return packet;
    }
    PacketPtr copy = pool.allocate(packet->length(), 2);
    if (!copy) return nullptr;
    packet->copy_out(0, {copy->put(packet->length()), packet->length()});
    copy->offload = packet->offload;
    return copy;
  }

  std::shared_ptr<Wire> wire_;
  std::size_t side_;
  DeviceCaps caps_;
  DeviceStats stats_;
  Instant last_now_{};
  bool tx_full_ = false;
  bool told_closed_ = false;
};

}  // namespace

PipeEnds make_pipe(const PipeOptions& options) {
  const auto wire = std::make_shared<Wire>(options);
  return {std::make_unique<PipeEnd>(wire, 0), std::make_unique<PipeEnd>(wire, 1)};
}

}  // namespace millrace::drivers
