#include "pipe/pipe_registry.h"

#include "pipe/shared_pipe.h"

namespace millrace::drivers {
namespace {

/// A locally administered address that follows from the pipe's name and the end.
MacAddress address_of(const std::string& name, std::size_t side) {
  std::uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619u;
  MacAddress mac;
  mac.bytes = {0x02,
               static_cast<std::uint8_t>(hash >> 24),
               static_cast<std::uint8_t>(hash >> 16),
               static_cast<std::uint8_t>(hash >> 8),
               static_cast<std::uint8_t>(hash),
               static_cast<std::uint8_t>(side == 0 ? 0x0a : 0x0b)};
  return mac;
}

/// Options as far as the two ends must agree.
PipeOptions common(PipeOptions options) {
  const PipeOptions defaults;
  options.name = defaults.name;
  options.mac_a = defaults.mac_a;
  options.mac_b = defaults.mac_b;
  return options;
}

}  // namespace

std::unique_ptr<NetDevice> PipeRegistry::open(const std::string& name,
                                              const std::optional<PipeOptions>& options,
                                              const std::optional<MacAddress>& mac, std::string& error) {
  const std::lock_guard lock(mutex_);
  std::weak_ptr<SharedPipe>& entry = pipes_[name];
  std::shared_ptr<SharedPipe> pipe = entry.lock();
  if (!pipe) {
    PipeOptions chosen = options.value_or(PipeOptions{});
    chosen.name = "pipe:" + name;
    pipe = std::make_shared<SharedPipe>(chosen);
    if (pipe->wake_fd(0) < 0 || pipe->wake_fd(1) < 0) {
      error = "pipe: cannot make an eventfd: too many open files";
      return nullptr;
    }
    entry = pipe;
  } else if (options && common(*options) != common(pipe->options())) {
    error = "pipe: \"" + name +
            "\" is open with other options; give them at its first end only, or the same at both";
    return nullptr;
  }
  const std::optional<std::size_t> side = pipe->attach();
  if (!side) {
    error = "pipe: both ends of \"" + name + "\" are open already; a pipe has two";
    return nullptr;
  }
  return make_shared_pipe_end(std::move(pipe), *side, mac.value_or(address_of(name, *side)));
}

PipeRegistry& process_pipes() {
  static PipeRegistry registry;
  return registry;
}

}  // namespace millrace::drivers
