#pragma once

#include <memory>
#include <string>

#include "decorator.h"
#include "fault/impairment.h"

namespace millrace::drivers {

struct FaultOptions {
  ImpairmentOptions rx;
  ImpairmentOptions tx;
  std::uint64_t seed = 1;
  /// Cuts super-frames and completes checksums before anything happens to a frame, as a wire does: faults
  /// then hit single segments, and bit errors can be told by their checksum. Off: frames go through as they
  /// are.
  bool segment = true;
  std::string name;  ///< empty: "fault:" and the inner device's
};

/// A bad network in front of any device: loss, duplication, reordering, bit errors, delay, a bottleneck;
/// seeded. It reports no offloads (with `segment`), and marks what it delivers kUnknown. Delayed frames come
/// out of the next rx_burst or tx_burst after max_sleep().
class FaultDevice final : public DecoratorDevice {
 public:
  FaultDevice(std::unique_ptr<NetDevice> inner, const FaultOptions& options);

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override;
  std::size_t tx_burst(PacketQueue& packets, Instant now) override;
  void release_packets() override;
  [[nodiscard]] bool arm() override;
  [[nodiscard]] Duration max_sleep(Instant now) const override;
  [[nodiscard]] bool tx_full() const override { return tx_full_; }

  [[nodiscard]] const DeviceCaps& caps() const override { return caps_; }
  [[nodiscard]] std::string_view name() const override { return name_; }
  /// stats() are the inner device's: what was lost here is told by these.
  [[nodiscard]] const CounterSet<ImpairmentCounter>& rx_counters() const { return rx_.counters(); }
  [[nodiscard]] const CounterSet<ImpairmentCounter>& tx_counters() const { return tx_.counters(); }
  /// Frames dropped because they could not be cut or completed: not TCP, or no memory.
  [[nodiscard]] std::uint64_t unsegmentable() const { return unsegmentable_; }
  /// Super-frames that were cut.
  [[nodiscard]] std::uint64_t segmented() const { return segmented_; }

 private:
  void add(Impairment& direction, PacketPtr frame, Instant now);
  void flush_tx(Instant now);

  bool segment_;
  DeviceCaps caps_;
  std::string name_;
  Impairment rx_;
  Impairment tx_;
  PacketQueue arrived_;  ///< scratch of rx_burst
  PacketQueue pieces_;   ///< scratch of add
  PacketQueue ready_;    ///< to be sent now, refused by the inner device so far
  Instant last_now_{};
  bool tx_full_ = false;
  std::uint64_t unsegmentable_ = 0;
  std::uint64_t segmented_ = 0;
};

}  // namespace millrace::drivers
