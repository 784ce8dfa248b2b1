#include "turns.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace millrace::load {

namespace {

constexpr double kMostSeconds = 3600, kMostRate = 1e9;

/// A number above 0 at `text`, which then is behind it; 0 where there is none such.
double take_number(const char*& text, double most) {
  char* end = nullptr;
  const double number = std::strtod(text, &end);
  text = end;
  return number > 0 && number <= most ? number : 0;
}

Turn parse_turn(const char* line, const Turn& usual) {
  Turn turn{take_number(line, kMostSeconds), usual.rate};
  if (turn.seconds != 0 && usual.rate != 0 && *line == ' ') turn.rate = take_number(line, kMostRate);
  if (turn.seconds == 0 || (usual.rate != 0 && turn.rate == 0) || std::strcmp(line, "\n") != 0) {
    throw Failure(
        "a turn is a line with its seconds, above 0 and up to 3600, and with --rate its rate if it has "
        "another");
  }
  return turn;
}

}  // namespace

std::optional<Turn> Turns::next(const Report& last) {
  const bool first = begun_ == 0;
  ++begun_;
  if (!allotted_) return first ? std::optional(usual_) : std::nullopt;
  if (first) {
    std::puts("ready");
    std::fflush(stdout);
  } else {
    last.print(true);
  }
  char line[64];
  if (std::fgets(line, sizeof line, stdin) == nullptr) return std::nullopt;
  return parse_turn(line, usual_);
}

}  // namespace millrace::load
