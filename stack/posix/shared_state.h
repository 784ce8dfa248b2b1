#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "tcp/live_table.h"

namespace millrace::posix {

/// What the processes that can own one stack have in common: in memory that forked children share, or in a
/// file made by the launcher (`millrace run`), which also outlives exec and the owner's death.
///
///     file:  | page 0: the device's | SharedState ...
struct SharedState {
  static constexpr std::uint32_t kVersion = 1;
  static constexpr std::size_t kConnections = 65536;
  static constexpr std::size_t kOffset = 4096;  ///< in the file

  std::atomic<std::uint32_t> version;
  std::atomic<pid_t> owner;  ///< 0: nobody has claimed the stack yet
  std::array<tcp::LiveEntry, kConnections> connections;

  /// Of each of several contexts.
  [[nodiscard]] std::span<tcp::LiveEntry> share_of(std::size_t index, std::size_t count) {
    const std::size_t share = kConnections / count;
    return std::span(connections).subspan(index * share, share);
  }
};

/// A file of the right size; -1 with errno.
[[nodiscard]] int make_shared_file();
/// Null with errno.
[[nodiscard]] SharedState* map_shared_state(int file);
[[nodiscard]] bool is_dead(pid_t process);

/// How an image of a program gets its device and state from the one before: descriptors by number, in the
/// environment.
struct Inheritance {
  static constexpr const char* kVariable = "MILLRACE_INHERIT";  // "SHARED,DEVICE,DEVICE"
  int shared_file = -1;
  std::vector<int> device;
};
/// From the environment; shared_file is -1 when there is nothing there or it is not what it should be.
[[nodiscard]] Inheritance read_inheritance();

/// The file of a capture, which the launcher made: it is told, with the file's identity, to what it starts.
void bequeath_capture(int file);
/// -1: there is none.
[[nodiscard]] int inherited_capture();

}  // namespace millrace::posix
