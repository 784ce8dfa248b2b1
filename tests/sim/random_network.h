#pragma once

#include <cstdint>
#include <string>

#include "support/network.h"

namespace millrace::test {

/// All that one seed means: a network, flows under any congestion control, settings of the stacks.
class RandomNetwork {
 public:
  explicit RandomNetwork(std::uint64_t seed);

  /// Empty: every byte arrived, nothing stalled, and nothing was left.
  [[nodiscard]] std::string run() const;
  [[nodiscard]] std::string to_string() const;

 private:
  std::uint64_t seed_;
  std::string topology_;
  NetworkOptions options_;
  Duration duration_{0};
};

}  // namespace millrace::test
