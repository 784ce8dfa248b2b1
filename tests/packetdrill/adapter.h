#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "packetdrill/profile.h"
#include "packetdrill/virtual_time.h"
#include "packetdrill/wire_device.h"
#include "posix/context.h"

namespace millrace::packetdrill {

/// The numbers by which a script's host knows descriptors of the stack: each is a kernel descriptor (of an
/// eventfd that nothing else is done with), because the host closes what a script left open with the
/// kernel's close(2). Any thread may ask.
class Descriptors {
 public:
  Descriptors() = default;
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

  /// A number for the stack's descriptor; passes -1 on. -1 with errno when the kernel has none left.
  [[nodiscard]] int adopt(int own);
  /// The stack's descriptor; -1: the kernel's, or nobody's.
  [[nodiscard]] int find(int fd) const;
  void forget(int fd);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<int, int> own_;
};

/// One stack of the posix room on a WireDevice, in virtual time. Made when the library is loaded, started by
/// the first call: the commands with which a script sets things up run in between.
class Adapter {
 public:
  /// The files that the stubs of sysctl(8) and tc(8) write to.
  struct CommandFiles {
    std::string sysctls, discipline;
  };
  Adapter(Profile profile, CommandFiles files);
  Adapter(const Adapter&) = delete;
  Adapter& operator=(const Adapter&) = delete;
  /// Closes all descriptors of the stack.
  ~Adapter();

  [[nodiscard]] posix::Context& context();
  [[nodiscard]] Descriptors& descriptors() { return descriptors_; }
  /// The congestion control of new sockets; empty: the stack's default.
  [[nodiscard]] const std::string& congestion() const { return profile_.congestion; }

  [[nodiscard]] std::uint32_t mtu() const { return profile_.mtu; }
  [[nodiscard]] bool plain_buffer_sizes() const { return profile_.plain_buffer_sizes; }

  // --- the script's thread
  void inject(std::span<const std::uint8_t> packet);
  /// Runs the stack to the moment at which it sends next. False: it never will.
  [[nodiscard]] bool next_packet(SentPacket& packet);
  void run_until(Instant end);
  /// Runs the stack to the next thing that happens there, but not beyond `limit`.
  void step(Instant limit);
  /// Does what a command of the script has asked for since.
  void follow_commands();

 private:
  void start();
  void turn();
  /// A command of the script may have changed the route.
  void follow_route();
  [[nodiscard]] Instant next_deadline();

  Profile profile_;
  CommandFiles files_;
  std::filesystem::file_time_type discipline_told_{};
  Sysctls kernel_before_;
  std::uint32_t route_mtu_ = 0;
  Descriptors descriptors_;
  std::mutex start_mutex_;
  WireDevice* device_ = nullptr;  ///< the context's
  std::unique_ptr<posix::Context> context_;
};

/// The one of this process; null before packetdrill_interface_init and after its free().
[[nodiscard]] Adapter* adapter();

}  // namespace millrace::packetdrill
