#pragma once

#include <memory>
#include <string>

#include "link/net_device.h"

namespace millrace::drivers {

/// A driver in a shared object of its own, libmillrace-NAME.so, which is loaded when its first device is
/// opened: a program without such a device neither needs the driver's libraries nor pays for them at its
/// start.
struct Plugin {
  const char* name;     ///< "dpdk"
  const char* folder;   ///< of drivers/, where it is built
  const char* library;  ///< what it needs, for people
  const char* package;  ///< and where that is
};

/// The names of what a plugin shows: a function that makes a device, and the version it was built as. Both
/// sides share C++ types, so they must be of one build.
inline constexpr const char* kPluginOpenSymbol = "millrace_plugin_open";
inline constexpr const char* kPluginBuildSymbol = "millrace_plugin_build";
template <typename Config>
using PluginOpen = NetDevice* (*)(const Config& config, std::string& error);

/// The plugin's open function. Null, and `error` says what is wrong and what to do.
[[nodiscard]] void* load_plugin(const Plugin& plugin, std::string& error);

template <typename Config>
[[nodiscard]] std::unique_ptr<NetDevice> open_with(const Plugin& plugin, const Config& config,
                                                   std::string& error) {
  const auto open = reinterpret_cast<PluginOpen<Config>>(load_plugin(plugin, error));
  return std::unique_ptr<NetDevice>(open != nullptr ? open(config, error) : nullptr);
}

}  // namespace millrace::drivers
