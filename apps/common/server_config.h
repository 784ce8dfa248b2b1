#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/settings.h"
#include "common/stack_api.h"

namespace millrace::apps {

/// What every server here can be asked for: where it serves.
struct ServerConfig {
  bool kernel = false;                ///< on the kernel's sockets instead of the stack's
  StackSettings stack = of_server();  ///< device and address are required unless `kernel`

  [[nodiscard]] static StackSettings of_server() {
    StackSettings settings;
    settings.tx_batch = 16;  // soon back in its wait
    return settings;
  }
};

/// A setting, and what it does to a program's configuration.
template <typename Config>
struct ConfigSetting {
  Setting setting;
  void (*apply)(Config&, const std::string&);
};

/// The settings of ServerConfig, but for `kernel`, of which each program says what it leaves out.
inline constexpr std::size_t kServerSettings = 11;
extern const std::array<ConfigSetting<ServerConfig>, kServerSettings> server_settings;

/// Reads these from the command line, the environment and the file. False: the user asked for help or the
/// version, which has been printed. Throws SettingError.
[[nodiscard]] bool read_settings(CLI::App& app, int argc, char** argv, std::vector<Setting> settings,
                                 const SettingReader::Apply& apply);
/// Throws SettingError where something is missing.
void check(const ServerConfig& config);

/// The configuration of a server, which is a ServerConfig, by server_settings and its own. Nothing: see
/// read_settings().
template <typename Config, std::size_t kOwn>
std::optional<Config> read_server_config(CLI::App& app, int argc, char** argv,
                                         const std::array<ConfigSetting<Config>, kOwn>& own) {
  std::vector<Setting> settings;
  settings.reserve(kServerSettings + kOwn);
  for (const auto& one : server_settings) settings.push_back(one.setting);
  for (const auto& one : own) settings.push_back(one.setting);
  Config config;
  const auto apply = [&](std::size_t index, const std::string& value) {
    if (index < kServerSettings) {
      server_settings[index].apply(config, value);
    } else {
      own[index - kServerSettings].apply(config, value);
    }
  };
  if (!read_settings(app, argc, argv, std::move(settings), apply)) return std::nullopt;
  check(config);
  return config;
}

}  // namespace millrace::apps
