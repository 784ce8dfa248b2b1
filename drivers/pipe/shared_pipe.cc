#include "pipe/shared_pipe.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "pipe/pipe_frame.h"

namespace millrace::drivers {
namespace {

constexpr std::size_t kMaxInQueue = std::size_t{1} << 14;
constexpr std::size_t kMaxSpare = 64;

}  // namespace

SharedPipe::SharedPipe(const PipeOptions& options) : options_(options) {
  for (Direction& direction : directions_) direction.transmitter = Transmitter(options.rate);
  for (UniqueFd& fd : wake_) fd = UniqueFd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
}

std::optional<std::size_t> SharedPipe::attach() {
  const std::lock_guard lock(mutex_);
  for (std::size_t side = 0; side < 2; ++side) {
    if (open(side)) continue;
    open_[side].store(true, std::memory_order_relaxed);
    wake(1 - side);
    return side;
  }
  return std::nullopt;
}

void SharedPipe::detach(std::size_t side) {
  const std::lock_guard lock(mutex_);
  open_[side].store(false, std::memory_order_relaxed);
  // What was on the way to the end that closes is lost; the next one to open it begins afresh.
  Direction& in = directions_[1 - side];
  in.frames.clear();
  in.left = in.waiting = 0;
  wake(1 - side);
}

void SharedPipe::wake(std::size_t side) const {
  if (wake_[side]) (void)::eventfd_write(wake_[side].get(), 1);
}

void SharedPipe::settle(Direction& direction, Instant now) const {
  if (options_.rate == 0) return;
  while (direction.left < direction.frames.size() && direction.frames[direction.left].left <= now) {
    direction.waiting -= direction.frames[direction.left].segments;
    ++direction.left;
  }
}

SharedPipe::Verdict SharedPipe::send(std::size_t side, const Packet& packet, Instant now) {
  Direction& out = directions_[side];
  const std::size_t segments = pipe_segments(packet);
  WireFrame frame;
  {
    const std::lock_guard lock(mutex_);
    settle(out, now);
    if ((out.waiting != 0 && out.waiting + segments > options_.queue) || out.frames.size() >= kMaxInQueue) {
      if (options_.drops()) {
        ++out.dropped;
        return Verdict::kDropped;
      }
      out.sender_waits = true;
      return Verdict::kFull;
    }
    if (!spare_.empty()) {
      frame = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  frame.bytes.resize(packet.length());
  packet.copy_out(0, frame.bytes);
  frame.offload = pipe_received(packet.offload);
  frame.segments = segments;
  const std::lock_guard lock(mutex_);
  frame.left = out.transmitter.send(pipe_wire_bytes(packet), now);
  frame.arrival = frame.left + options_.delay;
  out.waiting += segments;
  out.frames.push_back(std::move(frame));
  out.unseen = true;
  if (out.receiver_asleep) {
    out.receiver_asleep = false;
    wake(1 - side);
  }
  return Verdict::kTaken;
}

bool SharedPipe::receive(std::size_t side, WireFrame& frame, Instant now) {
  Direction& in = directions_[1 - side];
  const std::lock_guard lock(mutex_);
  WireFrame used = std::exchange(frame, WireFrame{});
  if (!used.bytes.empty() && spare_.size() < kMaxSpare) spare_.push_back(std::move(used));
  settle(in, now);
  if (in.frames.empty() || in.frames.front().arrival > now) {
    in.unseen = false;
    return false;
  }
  frame = std::move(in.frames.front());
  in.frames.pop_front();
  if (in.left != 0) {
    --in.left;
  } else {
    in.waiting -= frame.segments;
  }
  if (in.sender_waits) {
    in.sender_waits = false;
    wake(1 - side);
  }
  return true;
}

bool SharedPipe::arm(std::size_t side) {
  Direction& in = directions_[1 - side];
  const std::lock_guard lock(mutex_);
  eventfd_t count = 0;
  (void)::eventfd_read(wake_[side].get(), &count);
  in.receiver_asleep = true;
  return in.unseen;
}

Instant SharedPipe::next_arrival(std::size_t side) {
  const std::lock_guard lock(mutex_);
  const auto& frames = directions_[1 - side].frames;
  return frames.empty() ? kNever : frames.front().arrival;
}

Instant SharedPipe::next_room(std::size_t side) {
  const std::lock_guard lock(mutex_);
  const Direction& out = directions_[side];
  if (options_.rate == 0 || out.left == out.frames.size()) return kNever;
  return out.frames[out.left].left;
}

std::uint64_t SharedPipe::dropped(std::size_t side) {
  const std::lock_guard lock(mutex_);
  return directions_[1 - side].dropped;
}

namespace {

class SharedPipeEnd final : public NetDevice {
 public:
  SharedPipeEnd(std::shared_ptr<SharedPipe> pipe, std::size_t side, const MacAddress& mac)
      : pipe_(std::move(pipe)), side_(side), mac_(mac), caps_(pipe_caps(pipe_->options())) {
    caps_.can_sleep = true;
    wait_fd_ = {pipe_->wake_fd(side_), true, false};
    told_up_ = pipe_->open(1 - side_);
  }
  SharedPipeEnd(const SharedPipeEnd&) = delete;
  SharedPipeEnd& operator=(const SharedPipeEnd&) = delete;
  ~SharedPipeEnd() override { pipe_->detach(side_); }

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override {
    std::size_t received = 0;
    while (received < budget && pipe_->receive(side_, frame_, now)) {
      const auto length = static_cast<std::uint32_t>(frame_.bytes.size());
      PacketPtr packet = pool.allocate(length, 2);
      if (!packet) {
        ++stats_.rx_no_memory;
        continue;
      }
      std::copy(frame_.bytes.begin(), frame_.bytes.end(), packet->put(length));
      packet->offload = frame_.offload;
      packet->timestamp = now;
      ++stats_.rx_packets;
      stats_.rx_bytes += length;
      out.push_back(std::move(packet));
      ++received;
    }
    return received;
  }

  std::size_t tx_burst(PacketQueue& packets, Instant now) override {
    tx_full_ = false;
    std::size_t taken = 0;
    for (; !packets.empty(); ++taken) {
      const Packet& packet = packets.front();
      if (!pipe_->open(1 - side_) || !pipe_accepts(pipe_->options(), packet)) {
        ++stats_.tx_errors;
        (void)packets.pop_front();
        continue;
      }
      if (pipe_->send(side_, packet, now) == SharedPipe::Verdict::kFull) {
        tx_full_ = true;
        ++stats_.tx_full;
        break;
      }
      ++stats_.tx_packets;
      stats_.tx_bytes += packet.length();
      (void)packets.pop_front();
    }
    return taken;
  }

  std::span<const WaitFd> wait_fds() override { return {&wait_fd_, 1}; }
  bool arm() override { return pipe_->arm(side_); }
  Duration max_sleep(Instant now) const override {
    Instant next = pipe_->next_arrival(side_);
    if (tx_full_) next = std::min(next, pipe_->next_room(side_));
    return next == kNever ? Duration::max() : std::max(next - now, Duration::zero());
  }
  bool tx_full() const override { return tx_full_; }
  DeviceEvent take_event() override {
    const bool up = pipe_->open(1 - side_);
    if (up == told_up_) return DeviceEvent::kNone;
    told_up_ = up;
    return up ? DeviceEvent::kLinkUp : DeviceEvent::kLinkDown;
  }

  const DeviceCaps& caps() const override { return caps_; }
  MacAddress mac() const override { return mac_; }
  std::uint32_t mtu() const override { return pipe_->options().mtu; }
  std::string_view name() const override { return pipe_->options().name; }
  DeviceStats stats() override {
    stats_.rx_dropped = pipe_->dropped(side_);
    return stats_;
  }

 private:
  std::shared_ptr<SharedPipe> pipe_;
  std::size_t side_;
  MacAddress mac_;
  DeviceCaps caps_;
  DeviceStats stats_;
  WaitFd wait_fd_;
  WireFrame frame_;  ///< the one being received
  bool tx_full_ = false;
  bool told_up_ = false;
};

}  // namespace

std::unique_ptr<NetDevice> make_shared_pipe_end(std::shared_ptr<SharedPipe> pipe, std::size_t side,
                                                const MacAddress& mac) {
  return std::make_unique<SharedPipeEnd>(std::move(pipe), side, mac);
}

}  // namespace millrace::drivers
