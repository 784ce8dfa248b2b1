#include "posix/shared_state.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

namespace millrace::posix {

namespace {

constexpr std::size_t kFileBytes = SharedState::kOffset + sizeof(SharedState);
constexpr const char* kCaptureVariable = "MILLRACE_INHERIT_CAPTURE";

/// "FD,DEVICE,INODE": an image of a program that closed the descriptor may have another file there.
std::string name_of_file(int file) {
  struct stat status {};
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) return "";
  return std::to_string(file) + "," + std::to_string(status.st_dev) + "," + std::to_string(status.st_ino);
}

}  // namespace

int make_shared_file() {
  const int file = memfd_create("millrace", MFD_CLOEXEC);
  if (file < 0) return -1;
  if (ftruncate(file, kFileBytes) == 0) {
    if (SharedState* state = map_shared_state(file); state != nullptr) {
      state->version.store(SharedState::kVersion);
      munmap(state, sizeof *state);
      return file;
    }
  }
  const int error = errno;
  close(file);
  errno = error;
  return -1;
}

SharedState* map_shared_state(int file) {
  void* map =
      mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE, MAP_SHARED, file, SharedState::kOffset);
  return map == MAP_FAILED ? nullptr : static_cast<SharedState*>(map);
}

bool is_dead(pid_t process) {
  return kill(process, 0) != 0 && errno == ESRCH;
}

Inheritance read_inheritance() {
  Inheritance found;
  const char* value = getenv(Inheritance::kVariable);
  if (value == nullptr) return found;
  std::string_view text = value;
  for (int index = 0; !text.empty(); ++index) {
    int fd = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
    struct stat status {};
    if (error != std::errc{} || fstat(fd, &status) != 0) return {};
    if (index == 0) {
      if (!S_ISREG(status.st_mode) || static_cast<std::size_t>(status.st_size) != kFileBytes) return {};
      found.shared_file = fd;
    } else {
      if (!S_ISSOCK(status.st_mode) && !S_ISCHR(status.st_mode)) return {};  // a packet socket, a TAP queue
      found.device.push_back(fd);
    }
    text.remove_prefix(std::min(static_cast<std::size_t>(end - text.data()) + 1, text.size()));
  }
  return found;
}

void bequeath_capture(int file) {
  setenv(kCaptureVariable, name_of_file(file).c_str(), 1);
}

int inherited_capture() {
  const char* value = getenv(kCaptureVariable);
  if (value == nullptr) return -1;
  const std::string_view text = value;
  int file = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), file);
  return error == std::errc{} && file >= 0 && name_of_file(file) == text ? file : -1;
}

}  // namespace millrace::posix
