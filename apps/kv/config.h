#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "common/server_config.h"
#include "keyspace.h"

namespace millrace::kv {

/// When what was written is safe on the disk: before its answer, within a second, or when the system likes.
enum class Sync : std::uint8_t { kAlways, kEverySecond, kNo };

std::optional<Eviction> parse_eviction(std::string_view text);
std::string_view to_text(Eviction eviction);
std::optional<Sync> parse_sync(std::string_view text);
std::string_view to_text(Sync sync);

/// What CONFIG SET can change while the server runs.
struct Limits {
  std::uint64_t memory = 0;  ///< bytes; 0: no limit
  Eviction eviction = Eviction::kNone;
  std::uint32_t samples = 5;
  std::string password;                                  ///< empty: none is needed
  std::uint32_t clients = 10000;                         ///< at once
  std::uint64_t query_buffer = std::uint64_t{1} << 30;   ///< bytes of one client's unfinished command
  std::uint64_t output_buffer = std::uint64_t{1} << 30;  ///< bytes that wait for one client; 0: no limit
  std::int64_t bulk = std::int64_t{Value::kMaxSize};     ///< bytes of an argument
  std::uint32_t timeout = 0;                             ///< seconds a client may be silent; 0: for ever
};

/// What millrace-kv was asked to do. For each setting the first of these that names it holds: the command
/// line (--port), the environment (MILLRACE_PORT), the configuration file (port = 6379), the default here.
struct Config : apps::ServerConfig {
  std::uint16_t port = 6379;
  unsigned timeout = 300;  ///< seconds after which a peer that no longer answers is dropped; 0: never
  std::string store;       ///< directory; empty: what is in memory is all there is
  Sync sync = Sync::kEverySecond;
  Limits limits;

  [[nodiscard]] unsigned threads() const { return std::max(stack.queues, 1U); }
};

/// Reads all sources. Nothing: the user asked for help or the version, which has been printed. Throws
/// apps::SettingError.
std::optional<Config> read_config(int argc, char** argv);

}  // namespace millrace::kv
