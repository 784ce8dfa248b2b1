// What the application may queue for sending, and how it learns of room.

#include <algorithm>

#include "tcp/connection.h"
#include "tcp/tcp_socket.h"

namespace millrace::tcp {

namespace {

constexpr std::uint32_t kDefaultMss = 536;
constexpr Duration kNearby = 1ms;
constexpr std::size_t kNearbySendBuffer = 512 << 10, kPathsInSendBuffer = 4;

}  // namespace

std::size_t Connection::send_limit() const {
  const std::size_t limit = send_buffer_.limit();
  return tcp_.send_budget().under_pressure() ? std::min(limit, tcp_.config().send_buffer_min) : limit;
}

/// What goes out at once when the windows allow: half of the peer's largest window at most, so that its
/// acknowledgments come in time (as Linux has it), and no more than may wait.
std::uint32_t Connection::super_segment_goal() const {
  const std::uint32_t mss = sender_.mss();
  std::uint32_t most = super_segment_payload(mss);
  const std::uint32_t window = sender_.max_window();
  if (window != 0) most = std::min(most, window > kDefaultMss ? window / 2 : window);
  if (options_.not_sent_low_water != 0) most = std::min(most, options_.not_sent_low_water);
  return std::max(mss, most - most % mss);
}

SendBuffer::Queued Connection::queued() const {
  return {sender_.queue().bytes(), sender_.not_sent(), sender_.board().count(), super_segment_goal()};
}

std::size_t Connection::charge() const {
  // Most of the time all is sent, and how it was to be cut does not matter any more.
  if (sender_.not_sent() != 0) return queued().charge();
  return sender_.queue().bytes() + SendBuffer::kSegmentOverhead * sender_.board().count();
}

std::size_t Connection::send_room(std::size_t wanted) const {
  // Most writes are small and find nothing that waits.
  if (sender_.not_sent() == 0 && wanted <= sender_.mss()) return charge() < send_limit() ? wanted : 0;
  return std::min(wanted, SendBuffer::room(queued(), send_limit(), options_.not_sent_low_water));
}

std::size_t Connection::append(std::span<const ConstIoSlice> data, std::size_t wanted, MemoryLender* lender,
                               Instant now) {
  std::size_t taken = 0;
  while (true) {
    const std::size_t room = send_room(wanted - taken);
    const std::size_t n = room != 0 ? sender_.append(data, taken, room, lender) : 0;
    taken += n;
    if (taken == wanted || n < room) return taken;
    // What can go out makes room: in the super-segment that has begun, and below TCP_NOTSENT_LOWAT.
    const SeqNum before = sender_.snd_nxt();
    sender_.hold_partial(true);
    sender_.transmit(now);
    if (sender_.snd_nxt() == before) return taken;
  }
}

Result<std::size_t> Connection::send_data(std::span<const ConstIoSlice> data, SendFlags flags, Instant now) {
  if (send_shutdown_ || state_ == State::kClosed) return Error::kPipe;
  if (deferred_) return begin_with(data, now);
  if (state_ == State::kSynSent || (state_ == State::kSynReceived && !fast_open_)) {
    wants_space_ = true;
    return Error::kAgain;
  }
  std::size_t wanted = 0;
  for (const ConstIoSlice& slice : data) wanted += slice.size;
  if (wanted == 0) return std::size_t{0};
  const std::size_t taken = append(data, wanted, flags.lender, now);
  if (taken < wanted) {
    wants_space_ = true;
    if (sender_.queue().empty()) tcp_.wait_for_memory(*socket_);
  }
  if (taken == 0) return Error::kAgain;
  if (flags.out_of_band && taken == wanted) sender_.set_urgent();
  sender_.hold_partial(flags.more);
  transmit_written(now);
  return taken;
}

bool Connection::send_whole(ConstIoSlice data, Instant now) {
  if (state_ != State::kEstablished && state_ != State::kCloseWait) return false;
  if (sender_.not_sent() != 0 || data.size > sender_.mss() || charge() >= send_limit() ||
      !sender_.append_only(data))
    return false;
  sender_.hold_partial(false);
  transmit_written(now);
  return true;
}

void Connection::transmit_written(Instant now) {
  sender_.transmit(now);
  if (wants_space_ || receiver_.ack_now()) {
    touch();
  } else {
    settle(now);
  }
}

bool Connection::wait_for_device(std::uint32_t left) {
  const std::uint8_t interface = route_.interface->id();
  resume_at_ = left;
  if (DeviceWaiterHook::is_linked()) {
    if (waits_for_ == interface) return false;
    DeviceWaiterHook::unlink();
  }
  waits_for_ = interface;
  tcp_.wait_for_device(*this, interface);
  return true;
}

bool Connection::has_space() const {
  const std::uint64_t not_sent = sender_.not_sent();
  const bool below_low_water = options_.not_sent_low_water == 0 || not_sent * 2 < options_.not_sent_low_water;
  return below_low_water && SendBuffer::is_writable(charge(), send_limit());
}

/// On a path inside a machine or a rack the congestion window grows to whatever the buffers hold: nothing is
/// lost, and the receiver's processor is the bottleneck. More than a few times what the path holds is a queue
/// there, that adds time and pushes the data out of the caches before it is read.
std::size_t Connection::send_buffer_max() const {
  const Config& config = tcp_.config();
  const RttEstimator& rtt = sender_.rtt();
  if (!rtt.valid() || rtt.srtt() >= kNearby) return config.send_buffer_max;
  const std::size_t enough =
      std::max<std::size_t>(kNearbySendBuffer, kPathsInSendBuffer * sender_.bytes_on_path());
  return std::min<std::size_t>(config.send_buffer_max, std::max<std::size_t>(config.send_buffer, enough));
}

void Connection::grow_send_buffer() {
  if (send_buffer_.fixed() || tcp_.send_budget().under_pressure()) return;
  const std::uint32_t mss = sender_.mss();
  const std::size_t most = send_buffer_max();
  send_buffer_.expand(sender_.window() / mss, mss, sender_.congestion()->send_buffer_windows(), most);
  send_buffer_.bound(most);
}

void Connection::tell_space() {
  // While the congestion window is full it limits the flow, not the buffer (tcp_should_expand_sndbuf); but
  // what is to follow should be there before the window opens.
  if (acknowledged_ && (!sender_.fills_window() || sender_.not_sent() < sender_.window() / 2))
    grow_send_buffer();
  if ((readiness() & kWritable) == 0) return;
  wants_space_ = false;
  notify(kWritable);
}

}  // namespace millrace::tcp
