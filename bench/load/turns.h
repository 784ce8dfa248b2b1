#pragma once

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
  /// The seconds of the next turn, for which it may wait; nothing when there is none. Prints what the turn
  /// before gave, as a JSON object, or "ready" before the first. Throws Failure at a line that is no number
  /// of seconds.
  std::optional<double> next(const Report& last);

 private:
  bool allotted_;
  double seconds_;
  bool begun_ = false;
};

}  // namespace millrace::load
