#include "pcap/libpcap.h"

#include <dlfcn.h>

#include <array>

namespace millrace::drivers {
namespace {

struct Loaded {
  LibPcap functions;
  std::string error;
};

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Loaded load_library() {
  Loaded loaded;
  void* library = nullptr;
  // Debian's name for it, and everybody else's.
  for (const char* name : std::array{"libpcap.so.0.8", "libpcap.so.1"}) {
    library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
  }
  if (library == nullptr) {
    loaded.error = "libpcap is not there; install it (apt-get install libpcap0.8)";
    return loaded;
  }
  LibPcap& f = loaded.functions;
  const bool complete = find(library, "pcap_open_dead", f.open_dead) &&
                        find(library, "pcap_fopen_offline_with_tstamp_precision", f.fopen_offline) &&
                        find(library, "pcap_next_ex", f.next) && find(library, "pcap_datalink", f.datalink) &&
                        find(library, "pcap_datalink_val_to_name", f.datalink_name) &&
                        find(library, "pcap_compile", f.compile) &&
                        find(library, "pcap_freecode", f.freecode) &&
                        find(library, "pcap_offline_filter", f.filter) &&
                        find(library, "pcap_geterr", f.error_of) && find(library, "pcap_close", f.close);
  if (!complete) loaded.error = "libpcap is too old: 1.5 or later is needed";
  return loaded;
}

}  // namespace

const LibPcap* LibPcap::load(std::string& error) {
  static const Loaded loaded = load_library();
  error = loaded.error;
  return error.empty() ? &loaded.functions : nullptr;
}

}  // namespace millrace::drivers
