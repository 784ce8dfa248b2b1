#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/counters.h"
#include "base/rng.h"
#include "base/time.h"
#include "packet/packet.h"
#include "pipe/link_model.h"

namespace millrace::drivers {

/// What happens to the frames of one direction. Probabilities are independent of each other, a frame.
struct ImpairmentOptions {
  double loss = 0;
  std::uint32_t loss_from = 0;  ///< only TCP segments with so much payload or more are lost; 0: any frame
  double duplicate = 0;
  double corrupt = 0;  ///< one bit is turned, anywhere behind the Ethernet header
  double reorder =
      0;  ///< held back until `gap` later frames have passed, or for `hold` when they do not come
  std::uint32_t gap = 3;
  Duration hold = 10ms;
  Duration delay{};
  Duration jitter{};              ///< up to so much more delay, uniformly: frames overtake each other
  Duration spread{};              ///< the same, but in order: a frame waits for the one before it
  std::uint64_t rate = 0;         ///< bits a second, 0: no limit
  std::size_t queue = 1000;       ///< frames that wait for the rate; the next one is lost
  std::uint64_t queue_bytes = 0;  ///< bytes that wait, or are being sent; 0: only frames are counted
};

enum class ImpairmentCounter : std::uint8_t {
  kFrames,  ///< came in
  kLost,
  kDuplicated,
  kCorrupted,
  kReordered,
  kQueueFull,  ///< lost for want of room: of the rate's queue, or of ours
  kNoMemory,   ///< lost, or not duplicated, as no copy could be made
  kCount,
};
[[nodiscard]] std::string_view name_of(ImpairmentCounter counter);

/// One direction's frames on their way through a bad network:
///
///     add -> loss, copies, bit errors -> [queue, rate] -> delay, jitter, spread -> release
///                                             \-> held back -----^
///
/// All chance comes from the Rng: the same seed and the same frames at the same times give the same outcome.
class Impairment {
 public:
  Impairment(const ImpairmentOptions& options, const Rng& rng)
      : options_(options), rng_(rng), transmitter_(options.rate) {}

  /// A frame comes in. Its offload wishes must have been fulfilled before when it may be corrupted.
  void add(PacketPtr frame, Instant now);
  /// Appends up to `budget` frames whose time has come to `out`; returns how many.
  std::size_t release(PacketQueue& out, std::size_t budget, Instant now);
  /// Forgets all frames that are under way.
  void clear() {
    departures_.clear();
    departed_ = 0;
    wire_.clear();
    held_.clear();
  }
  /// When release() will next have something; kNever when nothing is under way.
  [[nodiscard]] Instant next() const;
  [[nodiscard]] const CounterSet<ImpairmentCounter>& counters() const { return counters_; }

 private:
  struct OnWire {
    Instant arrival;
    std::uint64_t sequence;  ///< keeps order among those that arrive together
    PacketPtr frame;
  };
  struct HeldBack {
    Instant until;
    std::uint32_t gap;  ///< frames still to pass
    PacketPtr frame;
  };
  /// Of a heap whose top arrives first.
  static bool later(const OnWire& a, const OnWire& b) {
    return a.arrival != b.arrival ? a.arrival > b.arrival : a.sequence > b.sequence;
  }

  [[nodiscard]] bool is_lost(const Packet& frame);
  [[nodiscard]] bool has_room(std::uint64_t bytes, Instant now);
  void pass(PacketPtr frame, Instant now);
  void corrupt(PacketPtr& frame);
  void put_on_wire(PacketPtr frame, Instant arrival);
  void let_go_overtaken(Instant arrival);
  void let_go_expired(Instant now);

  ImpairmentOptions options_;
  Rng rng_;
  Transmitter transmitter_;
  std::vector<Instant> departures_;  ///< of frames in the transmitter's queue, the earliest first
  std::size_t departed_ = 0;         ///< of departures_, those before now
  std::vector<OnWire> wire_;         ///< a heap
  std::vector<HeldBack> held_;
  std::uint64_t sequence_ = 0;
  Instant last_spread_{};  ///< when the last frame arrives, with spread
  CounterSet<ImpairmentCounter> counters_;
};

}  // namespace millrace::drivers
