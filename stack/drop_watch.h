#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "link/interface.h"

namespace millrace {

class Stack;

/// Tells a device that records its frames what became of each: whether a counter of the stack that stands for
/// dropped frames grew while the frame was dealt with, and which. For that the counters are looked at between
/// frames; where no device asks, nothing is done.
class DropWatch final : public link::FrameObserver {
 public:
  explicit DropWatch(const Stack& stack) : stack_(stack) {}

  void start() override;
  void frame_done(NetDevice& device) override;

 private:
  const Stack& stack_;
  std::vector<std::uint64_t> before_;  ///< the counters, in the order in which they are visited
  std::string grown_;
};

}  // namespace millrace
