#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "pipe/link_model.h"
#include "pipe/pipe.h"
#include "unique_fd.h"

namespace millrace::drivers {

/// A frame in memory of the wire's own.
struct WireFrame {
  std::vector<std::uint8_t> bytes;
  Offload offload;
  Instant left{};     ///< the transmitter
  Instant arrival{};  ///< at the other end
  std::size_t segments = 1;
};

/// The wire between two ends that live in different threads. Everything but the flags is under `mutex`, which
/// is held to move frames in and out, not to copy them.
class SharedPipe {
 public:
  explicit SharedPipe(const PipeOptions& options);

  /// Takes a free end; nullopt when both are open.
  [[nodiscard]] std::optional<std::size_t> attach();
  void detach(std::size_t side);
  [[nodiscard]] bool open(std::size_t side) const { return open_[side].load(std::memory_order_relaxed); }
  [[nodiscard]] const PipeOptions& options() const { return options_; }
  [[nodiscard]] int wake_fd(std::size_t side) const { return wake_[side].get(); }

  enum class Verdict : std::uint8_t { kTaken, kDropped, kFull };
  /// Sends from `side`.
  [[nodiscard]] Verdict send(std::size_t side, const Packet& packet, Instant now);
  /// Takes what has arrived at `side`, into `frame`; the frame's old storage goes back to the wire.
  [[nodiscard]] bool receive(std::size_t side, WireFrame& frame, Instant now);
  /// Before a sleep of `side`: from here on arrivals (and room, after kFull) wake it. True when something
  /// came since its last receive() came up empty.
  [[nodiscard]] bool arm(std::size_t side);
  /// The next arrival at `side`.
  [[nodiscard]] Instant next_arrival(std::size_t side);
  /// When there is room again for frames from `side`, as far as time alone makes it.
  [[nodiscard]] Instant next_room(std::size_t side);
  /// Frames lost on their way to `side`.
  [[nodiscard]] std::uint64_t dropped(std::size_t side);

 private:
  struct Direction {
    std::deque<WireFrame> frames;
    std::size_t left = 0;     ///< of frames, those that have left the transmitter: the first ones
    std::size_t waiting = 0;  ///< segments of the others
    Transmitter transmitter;
    bool unseen = false;           ///< arrivals since the receiver found nothing
    bool receiver_asleep = false;  ///< wake it
    bool sender_waits = false;     ///< found the queue full
    std::uint64_t dropped = 0;
  };

  void settle(Direction& direction, Instant now) const;
  void wake(std::size_t side) const;

  const PipeOptions options_;
  std::mutex mutex_;
  std::array<Direction, 2> directions_;  ///< by the end that sends
  std::vector<WireFrame> spare_;         ///< storage to use again, the warmest last
  std::array<std::atomic<bool>, 2> open_{};
  std::array<UniqueFd, 2> wake_;
};

/// One end, as a device.
[[nodiscard]] std::unique_ptr<NetDevice> make_shared_pipe_end(std::shared_ptr<SharedPipe> pipe,
                                                              std::size_t side, const MacAddress& mac);

}  // namespace millrace::drivers
