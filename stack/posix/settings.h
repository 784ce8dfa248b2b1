#pragma once

#include <cstdint>
#include <string>

#include "posix/context.h"

struct mr_config;

namespace millrace::posix {

/// What of the device's frames is recorded.
struct CaptureSettings {
  std::string file;    ///< empty: nothing
  std::string filter;  ///< empty: everything
  std::uint32_t snap_length = 262144;
  std::uint64_t limit = INT64_MAX;
};

/// mr_config, the environment and the defaults, in that order of precedence, checked and in the stack's
/// types.
struct Settings {
  std::string device;
  std::uint32_t max_descriptors = 1u << 20;
  std::uint32_t queues = 1;  ///< of the device, each with a context of its own
  CaptureSettings capture;
  ContextConfig context;
};

/// Returns an empty string, or one line that says what is wrong. `config` may be null.
[[nodiscard]] std::string read_settings(const mr_config* config, Settings& settings);

}  // namespace millrace::posix
