#pragma once

#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace millrace::doctor {

enum class Severity : std::uint8_t {
  kOk,
  kWarn,  ///< works, but slower or with a risk that the message names
  kBad,   ///< does not work until it is mended
};

/// What one check found.
struct Finding {
  Severity severity = Severity::kOk;
  std::string subject;  ///< what was looked at: "memlock", "eth1: link"
  std::string message;  ///< what is, in one line
  std::string remedy;   ///< the command that mends it; empty when all is well

  friend bool operator==(const Finding&, const Finding&) = default;
};

using Findings = std::vector<Finding>;

inline Finding ok(std::string subject, std::string message) {
  return {Severity::kOk, std::move(subject), std::move(message), {}};
}
inline Finding warn(std::string subject, std::string message, std::string remedy) {
  return {Severity::kWarn, std::move(subject), std::move(message), std::move(remedy)};
}
inline Finding bad(std::string subject, std::string message, std::string remedy) {
  return {Severity::kBad, std::move(subject), std::move(message), std::move(remedy)};
}

inline void append(Findings& all, Findings more) {
  all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace millrace::doctor
