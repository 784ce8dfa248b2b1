#include "capture/capture.h"

#include <time.h>

#include <algorithm>
#include <utility>

#include "base/byte_order.h"
#include "capture/output_file.h"
#include "link/gso.h"

namespace millrace::drivers {
namespace {

/// How often the system's clocks are compared: the time of day may be set meanwhile.
constexpr Duration kClockInterval = 1s;

std::int64_t nanoseconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

/// `lost`: frames that the device had no memory for, before this one.
std::string comment_on(std::string_view counters, std::uint64_t lost = 0) {
  std::string comment;
  if (!counters.empty()) comment = "dropped: " + std::string(counters);
  if (lost != 0)
    comment += (comment.empty() ? "" : "; ") + std::to_string(lost) + " lost before this: RxNoMemory";
  return comment;
}

/// How often a pool had to refuse memory to whoever receives.
std::uint64_t refused(const PacketPool& pool) {
  return pool.counters()[PoolCounter::kBufferRefused] + pool.counters()[PoolCounter::kPacketRefused];
}

/// In the copy `bytes`, where a device is yet to finish it, or the sender has left it out: a reader could not
/// tell it from a wrong one.
void finish_checksum(const Packet& frame, std::span<std::uint8_t> bytes) {
  const Offload& offload = frame.offload;
  if (!offload.needs_checksum && offload.rx_checksum != Offload::RxChecksum::kPartial) return;
  const std::size_t field_at = std::size_t{offload.checksum_start} + offload.checksum_offset;
  if (field_at + 2 > bytes.size()) return;
  if (const auto checksum = link::transport_checksum(frame)) store_be16(bytes.data() + field_at, *checksum);
}

}  // namespace

UniqueFd open_capture_file(const CaptureOptions& options, std::string& error) {
  PacketFilter filter;
  UniqueFd file;
  if (!options.filter.empty()) error = filter.compile(options.filter);
  if (error.empty()) file = make_output_file(options.file, error);
  if (!error.empty()) error = "capture: " + error;
  return file;
}

std::unique_ptr<CaptureDevice> CaptureDevice::open(std::unique_ptr<NetDevice> inner,
                                                   const CaptureOptions& options, std::string& error) {
  std::unique_ptr<CaptureDevice> device{new CaptureDevice(std::move(inner))};
  error = options.filter.empty() ? std::string() : device->filter_.compile(options.filter);
  if (error.empty()) {
    error = device->writer_.open({.path = options.file,
                                  .file = options.inherited,
                                  .interface = std::string(device->name()),
                                  .filter = options.filter,
                                  .snap_length = options.snap_length,
                                  .limit = options.limit});
  }
  device->snap_length_ = options.snap_length;
  if (!error.empty()) {
    error = "capture: " + error;
    device.reset();
  }
  return device;
}

CaptureDevice::~CaptureDevice() {
  release_held();
}

bool CaptureDevice::copy(const Packet& frame, std::vector<std::uint8_t>& to) const {
  const std::size_t start = to.size();
  const std::uint32_t length = std::min(frame.length(), snap_length_);
  to.resize(start + length);
  const std::span<std::uint8_t> bytes{to.data() + start, length};
  frame.copy_out(0, bytes);
  if (!filter_.matches(bytes, frame.length())) {
    to.resize(start);
    return false;
  }
  finish_checksum(frame, bytes);
  return true;
}

std::size_t CaptureDevice::rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) {
  release_held();
  const std::uint64_t refused_before = refused(pool);
  const std::size_t received = inner().rx_burst(pool, arrived_, budget, now);
  if (recording()) {
    read_clock(now);
    // The device's statistics may cost a system call: only when there is something to learn from them.
    if (refused(pool) != refused_before) {
      const std::uint64_t no_memory = inner().stats().rx_no_memory;
      lost_ += no_memory - std::exchange(no_memory_, no_memory);
    }
    for (const Packet& frame : arrived_) {
      const bool wanted = copy(frame, held_bytes_);
      held_.push_back({held_bytes_.size(), frame.length(), time_, wanted});
    }
  }
  out.splice_back(arrived_);
  return received;
}

void CaptureDevice::frame_done(std::string_view counters) {
  if (next_held_ == held_.size()) return;
  const Held& held = held_[next_held_];
  const std::size_t start = next_held_ == 0 ? 0 : held_[next_held_ - 1].end;
  ++next_held_;
  if (held.wanted) {
    const std::uint64_t lost = std::exchange(lost_, 0);
    writer_.add({.direction = PcapngWriter::Direction::kInbound,
                 .time = held.time,
                 .bytes = {held_bytes_.data() + start, held.end - start},
                 .length = held.length,
                 .comment = comment_on(counters, lost),
                 .lost_before = lost});
  }
  if (next_held_ == held_.size()) release_held();
}

void CaptureDevice::release_held() {
  while (next_held_ < held_.size()) frame_done({});
  held_.clear();
  held_bytes_.clear();
  next_held_ = 0;
  writer_.flush();
}

std::size_t CaptureDevice::tx_burst(PacketQueue& packets, Instant now) {
  if (!recording()) return inner().tx_burst(packets, now);
  read_clock(now);
  // One by one, so that it shows which one the device dropped.
  std::size_t taken = 0;
  while (!packets.empty()) {
    sending_.clear();
    sending_length_ = packets.front().length();
    const bool wanted = copy(packets.front(), sending_);
    const std::uint64_t errors = inner().tx_errors();
    one_.push_back(packets.pop_front());
    if (inner().tx_burst(one_, now) == 0) {
      packets.push_front(one_.pop_front());
      break;
    }
    ++taken;
    if (wanted) record_sent(inner().tx_errors() != errors ? "TxErrors" : "");
  }
  writer_.flush();
  return taken;
}

void CaptureDevice::record_sent(std::string_view counter) {
  writer_.add({.direction = PcapngWriter::Direction::kOutbound,
               .time = time_,
               .bytes = sending_,
               .length = sending_length_,
               .comment = comment_on(counter)});
}

void CaptureDevice::frame_not_sent(const Packet& frame, std::string_view counter) {
  sending_.clear();
  if (!recording() || !copy(frame, sending_)) return;
  sending_length_ = frame.length();
  record_sent(counter);
}

void CaptureDevice::read_clock(Instant now) {
  if (clock_read_ == Instant::min() || now - clock_read_ >= kClockInterval) {
    clock_read_ = now;
    clock_offset_ = nanoseconds(CLOCK_REALTIME) - nanoseconds(CLOCK_MONOTONIC);
  }
  time_ = static_cast<std::uint64_t>(now.time_since_epoch().count() + clock_offset_);
}

void CaptureDevice::release_packets() {
  arrived_.clear();
  one_.clear();
  inner().release_packets();
}

std::vector<int> CaptureDevice::descriptors() const {
  std::vector<int> all = inner().descriptors();
  all.push_back(writer_.fd());
  return all;
}

std::vector<std::pair<std::string, std::uint64_t>> CaptureDevice::extended_stats() {
  auto all = inner().extended_stats();
  for (auto& one : writer_.stats()) all.push_back(std::move(one));
  return all;
}

}  // namespace millrace::drivers
