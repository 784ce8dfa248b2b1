#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "capture/packet_filter.h"
#include "capture/pcapng_writer.h"
#include "decorator.h"

namespace millrace::drivers {

struct CaptureOptions {
  std::string file = {};               ///< empty: nothing is recorded
  std::string filter = {};             ///< in the language of tcpdump(1); empty: everything
  std::uint32_t snap_length = 262144;  ///< bytes of a frame that are recorded, at most
  std::uint64_t limit = ~0ull;         ///< bytes of the file, at most
  int inherited = -1;                  ///< the file as open_capture_file() made it: more is appended to it
};

/// Does what can fail before a device is there: looks at the filter, and makes the file, for CaptureOptions'
/// `inherited`. None, and `error` says in one line what is wrong.
[[nodiscard]] UniqueFd open_capture_file(const CaptureOptions& options, std::string& error);

/// Records what passes through a device, in both directions, into a pcapng file: frames as the stack sees
/// them, super-frames whole, checksums finished that a device would finish, with the direction, the time of
/// the stack's clock as time of day, and a comment on each frame that was dropped, which names the counter.
///
/// A received frame is held, as a copy, until the stack says what became of it; it is in the file before the
/// next rx_burst. A frame that the driver found no memory for is gone: the next one's comment tells of it.
/// When the file cannot be written, one line on standard error says so, frames are counted as lost, and all
/// else goes on.
class CaptureDevice final : public DecoratorDevice {
 public:
  /// Null, and `error` says in one line what is wrong.
  [[nodiscard]] static std::unique_ptr<CaptureDevice> open(std::unique_ptr<NetDevice> inner,
                                                           const CaptureOptions& options, std::string& error);
  ~CaptureDevice() override;

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override;
  std::size_t tx_burst(PacketQueue& packets, Instant now) override;
  [[nodiscard]] bool wants_fates() const override { return true; }
  void frame_done(std::string_view counters) override;
  void frame_not_sent(const Packet& frame, std::string_view counter) override;
  void release_packets() override;
  [[nodiscard]] std::vector<int> descriptors() const override;
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> extended_stats() override;

 private:
  /// A received frame that the stack has not dealt with, its bytes at the end of those before it.
  struct Held {
    std::size_t end;
    std::uint32_t length;
    std::uint64_t time;
    bool wanted;
  };

  explicit CaptureDevice(std::unique_ptr<NetDevice> inner) : DecoratorDevice(std::move(inner)) {}
  /// Appends what is recorded of a frame; false, and nothing appended, when the filter does not want it.
  [[nodiscard]] bool copy(const Packet& frame, std::vector<std::uint8_t>& to) const;
  void record_sent(std::string_view comment);
  void release_held();
  [[nodiscard]] bool recording() const { return !writer_.at_limit(); }
  void read_clock(Instant now);

  PcapngWriter writer_;
  PacketFilter filter_;
  std::uint32_t snap_length_ = 0;

  PacketQueue arrived_;  ///< scratch of rx_burst
  std::vector<Held> held_;
  std::vector<std::uint8_t> held_bytes_;
  std::size_t next_held_ = 0;
  std::uint64_t no_memory_ = 0;  ///< the device's rx_no_memory, when last looked at
  std::uint64_t lost_ = 0;       ///< of these, those that no comment has told of

  PacketQueue one_;                    ///< scratch of tx_burst
  std::vector<std::uint8_t> sending_;  ///< what is recorded of the frame that is being sent
  std::uint32_t sending_length_ = 0;

  std::uint64_t time_ = 0;         ///< of the burst, since 1970
  std::int64_t clock_offset_ = 0;  ///< from the stack's clock to the time of day
  Instant clock_read_ = Instant::min();
};

}  // namespace millrace::drivers
