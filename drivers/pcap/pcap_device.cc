#include "pcap/pcap_device.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "capture/pcapng_writer.h"
#include "complain.h"
#include "pcap/capture_file.h"

namespace millrace::drivers {
namespace {

/// Room before a received frame, so that the IP header lies on a 16-byte boundary.
constexpr std::uint32_t kRxHeadroom = 18;
constexpr std::uint32_t kLargestFrame = PacketPool::kClassBytes.back() - kRxHeadroom;

class PcapDevice final : public NetDevice {
 public:
  explicit PcapDevice(const PcapConfig& config) : config_(config), loops_(config.loop) {
    caps_.scatter = true;
  }

  [[nodiscard]] std::string initialise() {
    if (!config_.in.empty()) {
      if (std::string error = file_.open(config_.in); !error.empty()) return error;
      read_next();
      if (!more_) return config_.in + " holds no frame to replay" + why_none();
      first_time_ = next_.time;
    }
    if (config_.out.empty()) return {};
    return writer_.open({.path = config_.out, .interface = config_.name});
  }

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override {
    start_clock(now);
    begun_ = begun_ || now >= start_;
    std::size_t received = 0;
    while (received < budget && due_in(now) == Duration::zero()) {
      received += deliver(pool, out, now);
      read_next();
    }
    return received;
  }

  std::size_t tx_burst(PacketQueue& packets, Instant now) override {
    start_clock(now);
    std::size_t taken = 0;
    for (; const PacketPtr packet = packets.pop_front(); ++taken) {
      ++stats_.tx_packets;
      stats_.tx_bytes += packet->length();
      record(*packet, now);
    }
    writer_.flush();
    return taken;
  }

  [[nodiscard]] std::vector<int> descriptors() const override {
    std::vector<int> all;
    for (const int fd : {file_.fd(), writer_.fd()}) {
      if (fd >= 0) all.push_back(fd);
    }
    return all;
  }
  [[nodiscard]] std::span<const WaitFd> wait_fds() override { return {}; }
  [[nodiscard]] bool arm() override { return more_ && !config_.timing && begun_; }
  [[nodiscard]] Duration max_sleep(Instant now) const override { return due_in(now); }
  [[nodiscard]] bool tx_full() const override { return false; }
  [[nodiscard]] const DeviceCaps& caps() const override { return caps_; }
  [[nodiscard]] MacAddress mac() const override { return config_.mac; }
  [[nodiscard]] std::uint32_t mtu() const override { return config_.mtu; }
  [[nodiscard]] std::string_view name() const override { return config_.name; }
  [[nodiscard]] DeviceStats stats() override { return stats_; }
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> extended_stats() override {
    return recording_ ? writer_.stats() : NetDevice::extended_stats();
  }

 private:
  /// ", but ..." where that is known of a file of which nothing can be replayed.
  [[nodiscard]] std::string why_none() const {
    if (const std::string damage = file_.damage(); !damage.empty()) return ": " + damage;
    return stats_.rx_truncated != 0 ? ": all were cut when they were recorded" : "";
  }
  void start_clock(Instant now) {
    if (start_ == kNever) start_ = now + (more_ ? config_.delay : Duration::zero());
  }

  /// Until the next frame comes; Duration::max() when none does any more.
  [[nodiscard]] Duration due_in(Instant now) const {
    if (!more_) return Duration::max();
    if (start_ == kNever) return Duration::zero();
    // A frame that was recorded out of order comes with the one before it.
    const std::uint64_t offset =
        config_.timing ? loop_offset_ + std::max(next_.time, first_time_) - first_time_ : 0;
    return std::max(start_ + Duration{static_cast<Duration::rep>(offset)} - now, Duration::zero());
  }

  /// It was sent from this device's address, when both directions were recorded.
  [[nodiscard]] bool is_own(std::span<const std::uint8_t> frame) const {
    constexpr std::size_t kSource = 6;
    const auto& mac = config_.mac.bytes;
    return frame.size() >= kSource + mac.size() &&
           std::equal(mac.begin(), mac.end(), frame.begin() + kSource);
  }

  /// Makes the file's next whole frame `next_`, from its start again while it is to be replayed.
  void read_next() {
    const bool first = !more_;
    more_ = false;
    while (true) {
      switch (file_.next(next_)) {
        case CaptureFile::Result::kFrame:
          last_time_ = std::max(last_time_, next_.time);
          if (is_own(next_.bytes)) break;
          if (next_.bytes.size() == next_.length && next_.length <= kLargestFrame) {
            more_ = true;
            return;
          }
          ++stats_.rx_truncated;
          break;
        case CaptureFile::Result::kBroken:
          ++stats_.rx_truncated;
          if (!first) complain("pcap: " + config_.in + ": " + file_.damage() + "; what follows is left out");
          return;
        case CaptureFile::Result::kEnd:
          // A file without a frame is not read for ever.
          if (first || loops_ == 1 || !file_.rewind()) return;
          if (loops_ != 0) --loops_;
          loop_offset_ += last_time_ - std::min(first_time_, last_time_);
          break;
      }
    }
  }

  [[nodiscard]] std::size_t deliver(PacketPool& pool, PacketQueue& out, Instant now) {
    PacketPtr packet = pool.allocate(next_.length, kRxHeadroom);
    if (!packet) {
      ++stats_.rx_no_memory;
      return 0;
    }
    std::memcpy(packet->put(next_.length), next_.bytes.data(), next_.length);
    packet->timestamp = now;
    ++stats_.rx_packets;
    stats_.rx_bytes += next_.length;
    out.push_back(std::move(packet));
    return 1;
  }

  void record(const Packet& packet, Instant now) {
    if (!recording_) return;
    frame_.resize(packet.length());
    packet.copy_out(0, frame_);
    const std::int64_t time = static_cast<std::int64_t>(first_time_) + (now - start_).count();
    writer_.add({.direction = PcapngWriter::Direction::kOutbound,
                 .time = static_cast<std::uint64_t>(std::max<std::int64_t>(time, 0)),
                 .bytes = frame_,
                 .length = packet.length()});
  }

  PcapConfig config_;
  CaptureFile file_;
  CaptureFile::Frame next_;
  bool more_ = false;  ///< next_ is a frame that has not been received
  std::uint64_t loops_;
  std::uint64_t first_time_ = 0, last_time_ = 0;  ///< of the file's frames
  std::uint64_t loop_offset_ = 0;                 ///< how long all rounds before this one took
  Instant start_ = kNever;                        ///< when the first frame comes
  bool begun_ = config_.delay == Duration::zero();

  PcapngWriter writer_;
  bool recording_ = !config_.out.empty();
  std::vector<std::uint8_t> frame_;  ///< scratch of record

  DeviceCaps caps_;
  DeviceStats stats_;
};

}  // namespace

std::unique_ptr<NetDevice> open_pcap(const PcapConfig& config, std::string& error) {
  auto device = std::make_unique<PcapDevice>(config);
  error = device->initialise();
  if (error.empty()) return device;
  error = "pcap: " + error;
  return nullptr;
}

}  // namespace millrace::drivers
