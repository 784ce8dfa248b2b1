#include "dpdk/loader.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>

namespace millrace::drivers {
namespace {

constexpr const char* kPlugin = "libmillrace-dpdk.so";
constexpr const char* kHowToGetIt =
    "; to have it, install DPDK's headers (apt-get install libdpdk-dev) and build Millrace again";

/// The file that this code was loaded from: a library or the program.
std::string own_folder() {
  Dl_info info;
  static const char here = 0;
  if (dladdr(&here, &info) == 0 || info.dli_fname == nullptr) return ".";
  char resolved[PATH_MAX];
  const std::string file = realpath(info.dli_fname, resolved) != nullptr ? resolved : info.dli_fname;
  return file.substr(0, file.rfind('/'));
}

/// Beside what loads it, where it is installed, and where it is built.
std::string find_plugin() {
  if (const char* given = getenv("MILLRACE_DPDK_PLUGIN"); given != nullptr && *given != '\0') return given;
  const std::string own = own_folder();
  for (const std::string& folder :
       {own, std::string(MILLRACE_LIBDIR), own + "/../lib", own + "/../../drivers/dpdk"}) {
    std::string file = folder + "/" + kPlugin;
    if (access(file.c_str(), R_OK) == 0) return file;
  }
  return {};
}

DpdkOpenFunction load(std::string& error) {
  const std::string file = find_plugin();
  if (file.empty()) {
    error =
        std::string("dpdk: this build of Millrace has no DPDK (there is no ") + kPlugin + ")" + kHowToGetIt;
    return nullptr;
  }
  // Never unloaded: DPDK's threads run until the process ends.
  void* plugin = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (plugin == nullptr) {
    error = std::string("dpdk: cannot load the plugin: ") + dlerror() +
            "; where DPDK's libraries are missing: apt-get install libdpdk-dev";
    return nullptr;
  }
  const auto* build = static_cast<const char*>(dlsym(plugin, kDpdkBuildSymbol));
  auto open = reinterpret_cast<DpdkOpenFunction>(dlsym(plugin, kDpdkOpenSymbol));
  if (build == nullptr || open == nullptr || std::strcmp(build, MILLRACE_VERSION) != 0) {
    error = "dpdk: " + file + " is of another version of Millrace than this (" + MILLRACE_VERSION + ")";
    return nullptr;
  }
  return open;
}

}  // namespace

std::unique_ptr<NetDevice> open_dpdk(const DpdkConfig& config, std::string& error) {
  static DpdkOpenFunction open = nullptr;
  if (open == nullptr) open = load(error);
  return std::unique_ptr<NetDevice>(open != nullptr ? open(config, error) : nullptr);
}

}  // namespace millrace::drivers
