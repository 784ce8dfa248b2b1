#pragma once

#include <cstdint>
#include <optional>

#include "load.h"

namespace millrace::load {

struct Turn {
  double seconds = 0;
  double rate = 0;  ///< of requests a second, where the run is one of those
};

/// The turns of a run: one, as the command line says, or those that standard input allots (--turns), a line
/// for each: its seconds, and its rate if it is not the command line's. Between turns the client rests: so a
/// program that has several clients run in turn, each for some milliseconds, shows all of them the same
/// machine.
class Turns {
 public:
  explicit Turns(const Options& options) : allotted_(options.turns), usual_{options.seconds, options.rate} {}

  /// Whether standard input says when.
  [[nodiscard]] bool allotted() const { return allotted_; }
  /// Whether the turn that has begun is the first of those: it warms up, and what all gave is without it.
  [[nodiscard]] bool warms_up() const { return allotted_ && begun_ == 1; }
  /// The next turn, for which it may wait; nothing when there is none. Prints what the turn before gave, as a
  /// JSON object, or "ready" before the first. Throws Failure at a line that is no turn.
  std::optional<Turn> next(const Report& last);

 private:
  bool allotted_;
  Turn usual_;
  std::uint64_t begun_ = 0;
};

}  // namespace millrace::load
