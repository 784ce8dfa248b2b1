#include "turns.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace millrace::load {

namespace {

constexpr double kMostSeconds = 3600;

double parse_seconds(const char* line) {
  char* end = nullptr;
  const double seconds = std::strtod(line, &end);
  if (end == line || std::strcmp(end, "\n") != 0 || !(seconds > 0 && seconds <= kMostSeconds)) {
    throw Failure("a turn is a line with its seconds, above 0 and up to 3600");
  }
  return seconds;
}

}  // namespace

std::optional<double> Turns::next(const Report& last) {
  const bool first = begun_ == 0;
  ++begun_;
  if (!allotted_) return first ? std::optional(seconds_) : std::nullopt;
  if (first) {
    std::puts("ready");
    std::fflush(stdout);
  } else {
    last.print(true);
  }
  char line[64];
  if (std::fgets(line, sizeof line, stdin) == nullptr) return std::nullopt;
  return parse_seconds(line);
}

}  // namespace millrace::load
