#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::posix {

/// The directory of the control sockets: MILLRACE_RUN_DIR, or /run/millrace where that is unset or empty.
[[nodiscard]] std::string run_directory();

/// Makes it when it is missing. Made by root it is for everybody, as /tmp is: programs may run as any user,
/// and nobody can remove another's socket. Made by somebody else it is theirs alone. False, errno: there is
/// none.
[[nodiscard]] bool make_run_directory(const std::string& directory);

/// "<directory>/<pid>.sock"
[[nodiscard]] std::string control_path(const std::string& directory, pid_t pid);

/// One control socket's file, of a process that may have died.
struct ControlFile {
  pid_t pid = 0;  ///< as it calls itself
  std::string path;
};
/// In the order of their pids; at most `most`. False, errno: the directory cannot be read.
[[nodiscard]] bool list_control_files(const std::string& directory, std::size_t most,
                                      std::vector<ControlFile>& files);

/// A stream to whoever listens there, nonblocking and close-on-exec. -ECONNREFUSED: nobody does;
/// -EAGAIN: somebody who has many callers waiting.
[[nodiscard]] int connect_control(const std::string& path);

/// Removes a socket file on which nobody listens any more. True when it is gone.
bool remove_stale(const std::string& path);
/// Removes those of processes that have died, looking at `most` files.
void sweep(const std::string& directory, std::size_t most);

}  // namespace millrace::posix
