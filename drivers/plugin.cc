#include "plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>

namespace millrace::drivers {
namespace {

/// The folder of the file that this code was loaded from: a library or the program.
std::string own_folder() {
  Dl_info info;
  static const char here = 0;
  if (dladdr(&here, &info) == 0 || info.dli_fname == nullptr) return ".";
  char resolved[PATH_MAX];
  const std::string file = realpath(info.dli_fname, resolved) != nullptr ? resolved : info.dli_fname;
  return file.substr(0, file.rfind('/'));
}

/// Beside what loads it, where it is installed, and where it is built.
std::string find(const Plugin& plugin, const std::string& file_name) {
  if (const char* given = getenv("MILLRACE_PLUGINS"); given != nullptr && *given != '\0')
    return std::string(given) + "/" + file_name;
  const std::string own = own_folder();
  for (const std::string& folder :
       {own, std::string(MILLRACE_LIBDIR), own + "/../lib", own + "/../../drivers/" + plugin.folder}) {
    std::string file = folder + "/" + file_name;
    if (access(file.c_str(), R_OK) == 0) return file;
  }
  return {};
}

}  // namespace

void* load_plugin(const Plugin& plugin, std::string& error) {
  const std::string name = plugin.name;
  const std::string file_name = "libmillrace-" + name + ".so";
  const std::string file = find(plugin, file_name);
  if (file.empty()) {
    error = name + ": this build of Millrace has no " + plugin.library + " (there is no " + file_name +
            "); to have it: apt-get install " + plugin.package + ", and build Millrace again";
    return nullptr;
  }
  // Never unloaded: its library may have threads.
  void* loaded = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (loaded == nullptr) {
    error = name + ": cannot load the driver: " + dlerror() +
            "; where a library is missing: apt-get install " + plugin.package;
    return nullptr;
  }
  const auto* build = static_cast<const char*>(dlsym(loaded, kPluginBuildSymbol));
  void* open = dlsym(loaded, kPluginOpenSymbol);
  if (build == nullptr || open == nullptr || std::strcmp(build, MILLRACE_VERSION) != 0) {
    error = name + ": " + file + " is of another version of Millrace than this (" + MILLRACE_VERSION + ")";
    return nullptr;
  }
  return open;
}

}  // namespace millrace::drivers
