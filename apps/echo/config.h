#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/server_config.h"

namespace millrace::echo {

/// What millrace-echo was asked to do. For each setting the first of these that names it holds: the command
/// line (--port), the environment (MILLRACE_PORT), the configuration file (port = 7), the default here.
struct Config : apps::ServerConfig {
  std::uint16_t port = 7;
  std::optional<std::uint16_t> discard_port;
  std::optional<std::uint16_t> chargen_port;
  unsigned timeout = 120;  ///< seconds after which a peer that no longer answers is dropped; 0: never
  unsigned drain = 5;      ///< seconds that connections get to finish after SIGTERM
  bool zero_copy = false;  ///< discard and chargen lend their memory; not on the kernel's sockets
  unsigned stats = 0;      ///< seconds between reports, and one at the end; 0: no reports
};

/// Reads all sources. Nothing: the user asked for help or the version, which has been printed. Throws
/// apps::SettingError.
std::optional<Config> read_config(int argc, char** argv);

}  // namespace millrace::echo
