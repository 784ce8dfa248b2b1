#pragma once

#include <cstdint>
#include <optional>

#include "load.h"

namespace millrace::load {

/// The turns of a run: one, as long as the command line says, or those that standard input allots (--turns),
/// a line with its seconds for each. Between turns the client rests: so a program that has several clients
/// run in turn, each for some milliseconds, shows all of them the same machine.
class Turns {
 public:
  explicit Turns(const Options& options) : allotted_(options.turns), seconds_(options.seconds) {}

  /// Whether standard input says when.
  [[nodiscard]] bool allotted() const { return allotted_; }
  /// Whether the turn that has begun is the first of those: it warms up, and what all gave is without it.
  [[nodiscard]] bool warms_up() const { return allotted_ && begun_ == 1; }
  /// The seconds of the next turn, for which it may wait; nothing when there is none. Prints what the turn
  /// before gave, as a JSON object, or "ready" before the first. Throws Failure at a line that is no number
  /// of seconds.
  std::optional<double> next(const Report& last);

 private:
  bool allotted_;
  double seconds_;
  std::uint64_t begun_ = 0;
};

}  // namespace millrace::load
