#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "posix/context.h"

namespace millrace::packetdrill {

/// What the stack is to be for a script: whose habits it takes on, and where it lives.
struct Profile {
  posix::ContextConfig context;
  std::uint32_t mtu = 1500;
  std::uint32_t route_mtu = 0;  ///< of the route to the script; 0: the device's
  std::string congestion;       ///< of new sockets; empty: the stack's default
  /// SO_RCVBUF and SO_SNDBUF read back as they were set, not doubled as Linux has it.
  bool plain_buffer_sizes = false;
};

/// `flags` is what packetdrill's --so_flags says: "linux" (also when empty) or "freebsd", then any of
/// mtu=N, local=ADDRESS/LENGTH, gateway=ADDRESS, with commas between. Returns an empty string, or what is
/// wrong.
[[nodiscard]] std::string read_flags(std::string_view flags, Profile& profile);

/// Settings by their names as sysctl(8) has them.
using Sysctls = std::map<std::string, std::string>;

/// The settings that mean something here, as the kernel has them in this network namespace. A script's
/// commands may change them there.
[[nodiscard]] Sysctls kernel_sysctls();
/// What the stubs of sysctl(8) and ip(8) in stubs/ have written: NAME=VALUE lines, the last one counts.
[[nodiscard]] Sysctls sysctls_of_file(const std::string& path);
/// The queueing discipline before the device, as far as it means something here.
struct Discipline {
  bool paces = false;                ///< fq
  std::optional<std::size_t> limit;  ///< packets
};
/// By what the stub of tc(8) has written: its last arguments.
[[nodiscard]] Discipline discipline_of_file(const std::string& path);
/// Unknown names are passed over.
void apply_sysctls(const Sysctls& sysctls, Profile& profile);

}  // namespace millrace::packetdrill
