#include "window.h"

namespace millrace::load {

void Measured::add(const Measured& other) {
  round_trips.add(other.round_trips);
  answered += other.answered;
  seconds += other.seconds;
  cpu_seconds += other.cpu_seconds;
  asked += other.asked;
  looks += other.looks;
  empty_looks += other.empty_looks;
}

void Measured::fill(Report& report) const {
  report.add("round_trips", round_trips.count());
  report.add("rate", seconds > 0 ? static_cast<double>(answered) / seconds : 0.0);
  if (asked > 0) report.add("asked_rate", asked / seconds);
  report.add("p50_us", round_trips.quantile(0.5) / 1e3);
  report.add("p99_us", round_trips.quantile(0.99) / 1e3);
  report.add("p999_us", round_trips.quantile(0.999) / 1e3);
  if (answered != 0) report.add("cpu_us_each", cpu_seconds * 1e6 / static_cast<double>(answered));
  if (looks != 0) report.add("empty_looks", static_cast<double>(empty_looks) / static_cast<double>(looks));
}

bool Window::next() {
  if (!turns_.warms_up()) total_.add(turn_);
  Report report;
  if (turns_.allotted()) turn_.fill(report);
  turn_ = {};
  const auto turn = turns_.next(report);
  if (!turn) return false;
  allotted_ = *turn;
  closed_ = false;
  cpu_.reset();
  if (turns_.allotted()) {
    settling_ = connections_;
  } else {
    begin_at(Clock::now() + (count_ == 0 ? kWarmUp : Clock::duration::zero()));
  }
  return true;
}

bool Window::give_up() const {
  if (Clock::now() <= end_ + (turns_.allotted() ? kLastAnswersOfATurn : kLastAnswers)) return false;
  if (turns_.allotted()) throw Failure("answers did not come within seconds after a turn");
  return true;
}

void Window::fill(Report& report) const {
  Measured all = total_;
  all.add(turn_);
  all.fill(report);
}

void Window::close(Clock::time_point now) {
  closed_ = true;
  turn_.seconds = std::chrono::duration<double>(now - start_).count();
  turn_.asked = allotted_.rate * turn_.seconds;
  if (cpu_) turn_.cpu_seconds = cpu_->seconds();
}

}  // namespace millrace::load
