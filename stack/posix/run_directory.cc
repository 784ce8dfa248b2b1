#include "posix/run_directory.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>

#include "posix/system.h"

namespace millrace::posix {

namespace {

constexpr std::string_view kSuffix = ".sock";

std::optional<pid_t> pid_of(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (error != std::errc{} || end != name.data() + name.size() || pid <= 0) return std::nullopt;
  return pid;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

}  // namespace

std::string run_directory() {
  // A program with more rights than its caller does not let the caller choose.
  const char* given = secure_getenv("MILLRACE_RUN_DIR");
  return given != nullptr && *given != '\0' ? given : "/run/millrace";
}

bool make_run_directory(const std::string& directory) {
  struct stat status;
  if (stat(directory.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return true;
    errno = ENOTDIR;
    return false;
  }
  const bool root = geteuid() == 0;
  if (mkdir(directory.c_str(), root ? 0755 : 0700) != 0) {
    // Another process was faster.
    return errno == EEXIST && stat(directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
  }
  // Not by mkdir(), from whose mode the umask is taken.
  if (root) (void)chmod(directory.c_str(), 01777);
  return true;
}

std::string control_path(const std::string& directory, pid_t pid) {
  return directory + "/" + std::to_string(pid) + std::string(kSuffix);
}

bool list_control_files(const std::string& directory, std::size_t most, std::vector<ControlFile>& files) {
  const std::unique_ptr<DIR, CloseDirectory> open(opendir(directory.c_str()));
  if (open == nullptr) return false;
  while (const dirent* entry = readdir(open.get())) {
    const std::optional<pid_t> pid = pid_of(entry->d_name);
    if (pid) files.push_back({*pid, directory + "/" + entry->d_name});
    if (files.size() >= most) break;
  }
  std::sort(files.begin(), files.end(),
            [](const ControlFile& a, const ControlFile& b) { return a.pid < b.pid; });
  return true;
}

int connect_control(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return -ENAMETOOLONG;
  std::memcpy(address.sun_path, path.data(), path.size());
  const auto fd = static_cast<int>(sys::unix_stream());
  if (fd < 0) return fd;
  const long result = sys::call(SYS_connect, fd, sys::word(&address), sizeof address);
  if (result == 0) return fd;
  sys::close(fd);
  return static_cast<int>(result);
}

bool remove_stale(const std::string& path) {
  struct stat before, now;
  if (lstat(path.c_str(), &before) != 0) return errno == ENOENT;
  if (!S_ISSOCK(before.st_mode)) return false;
  const int fd = connect_control(path);
  if (fd >= 0) sys::close(fd);
  if (fd != -ECONNREFUSED) return fd == -ENOENT;
  // Somebody may have put a new one there meanwhile.
  if (lstat(path.c_str(), &now) != 0 || now.st_ino != before.st_ino || now.st_dev != before.st_dev)
    return false;
  return unlink(path.c_str()) == 0;
}

void sweep(const std::string& directory, std::size_t most) {
  std::vector<ControlFile> files;
  if (!list_control_files(directory, most, files)) return;
  for (const ControlFile& file : files) {
    // A process of another PID namespace looks dead by its number alone: remove_stale() knows better.
    if (kill(file.pid, 0) != 0 && errno == ESRCH) (void)remove_stale(file.path);
  }
}

}  // namespace millrace::posix
