#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "histogram.h"
#include "load.h"
#include "machine_cpu.h"
#include "turns.h"

namespace millrace::load {

/// What a run of requests and answers measured, or a part of it.
struct Measured {
  Histogram round_trips;
  std::uint64_t answered = 0;  ///< in the time measured, whenever it was asked
  double seconds = 0, cpu_seconds = 0;
  double asked = 0;  ///< how many were due, where a rate says when
  std::uint64_t looks = 0, empty_looks = 0;

  void add(const Measured& other);
  void fill(Report& report) const;
};

/// When to ask and when to stop, and what to measure. In each turn:
///     while (window.next()) {
///       ask on every connection; until window.over() ask again after each answer; take the last answers
///     }
/// A run of one turn measures nothing that began before a warm-up was over; of several, each leaves out its
/// first answers, as many as there are connections.
class Window {
 public:
  static constexpr auto kWarmUp = std::chrono::milliseconds(200);
  /// How long after the end of a run the last answers may come, and of one of several turns: a lost segment
  /// is sent again after a second.
  static constexpr std::chrono::seconds kLastAnswers{1}, kLastAnswersOfATurn{5};

  explicit Window(const Options& options)
      : count_(options.count), connections_(options.connections), turns_(options) {}

  /// Whether there is a turn; it has begun.
  [[nodiscard]] bool next();
  /// Of the turn.
  [[nodiscard]] double rate() const { return allotted_.rate; }
  /// Precondition: the turn is over.
  [[nodiscard]] Clock::time_point end() const { return end_; }
  /// Whether the last answers are waited for no longer. Precondition: the turn is over. Throws Failure where
  /// turns are allotted: the next cannot begin without them.
  [[nodiscard]] bool give_up() const;

  /// A round trip, or several at once: when its request was sent, or should have been.
  void note(Clock::time_point began, Clock::time_point ended, std::uint64_t times = 1) {
    if (settling_ != 0) [[unlikely]] {
      if (--settling_ == 0) begin_at(ended);
      return;
    }
    if (ended >= start_ && !closed_) {
      if (!cpu_) cpu_.emplace();
      turn_.answered += times;
    }
    if (began < start_) return;
    turn_.round_trips.add(static_cast<std::uint64_t>((ended - began).count()), times);
  }
  /// The client looked for answers, and found some or none: who always finds some is what limits the run.
  void look(bool found) {
    ++turn_.looks;
    turn_.empty_looks += found ? 0 : 1;
  }
  /// No more requests in this turn; also without an answer.
  [[nodiscard]] bool over() {
    if (closed_) return true;
    const auto now = Clock::now();
    if (count_ != 0 ? turn_.round_trips.count() < count_ : settling_ != 0 || now < end_) return false;
    close(now);
    return true;
  }

  /// Of all turns.
  void fill(Report& report) const;

 private:
  void begin_at(Clock::time_point start) {
    start_ = start;
    end_ =
        start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(allotted_.seconds));
  }
  void close(Clock::time_point now);

  std::uint64_t count_;
  std::size_t connections_;
  Turns turns_;
  Turn allotted_;
  Clock::time_point start_, end_;
  std::size_t settling_ = 0;  ///< answers that the turn waits for before it measures
  bool closed_ = false;
  std::optional<MachineCpu> cpu_;  ///< since the first answer that is measured
  Measured turn_, total_;
};

}  // namespace millrace::load
