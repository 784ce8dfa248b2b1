#include "dpdk/descriptor_signals.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

namespace millrace::drivers::dpdk {
namespace {

bool is_tap(const std::string& fd) {
  std::array<char, 32> path{};
  const ssize_t size = readlink(("/proc/self/fd/" + fd).c_str(), path.data(), path.size());
  return size > 0 && std::string_view(path.data(), static_cast<std::size_t>(size)) == "/dev/net/tun";
}

/// Of descriptors that somebody else has told to send signals to another thread, or a group, nothing changes.
void take(int fd, sigset_t& taken) {
  f_owner_ex owner{};
  const int number = fcntl(fd, F_GETSIG);
  if (number <= 0 || fcntl(fd, F_GETOWN_EX, &owner) != 0) return;
  if (owner.type != F_OWNER_PID || owner.pid != getpid()) return;
  owner = {.type = F_OWNER_TID, .pid = gettid()};
  if (fcntl(fd, F_SETOWN_EX, &owner) == 0) sigaddset(&taken, number);
}

}  // namespace

void take_tap_signals() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), &closedir);
  if (directory == nullptr) return;
  sigset_t taken;
  sigemptyset(&taken);
  while (const dirent* entry = readdir(directory.get())) {
    if (is_tap(entry->d_name)) take(std::atoi(entry->d_name), taken);
  }
  pthread_sigmask(SIG_UNBLOCK, &taken, nullptr);
}

}  // namespace millrace::drivers::dpdk
