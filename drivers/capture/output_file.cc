#include "capture/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace millrace::drivers {

UniqueFd make_output_file(const std::string& path, std::string& error) {
  // Not blocked by a FIFO; emptied only once it is ours.
  UniqueFd fd{::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600)};
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) {
    error = "cannot write " + path + ": " + std::strerror(errno);
  } else if (!S_ISREG(status.st_mode)) {
    error = path + " is not a regular file";
  } else if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    error = path + " is being written by another program";
  } else if (::ftruncate(fd.get(), 0) != 0) {
    error = "cannot empty " + path + ": " + std::strerror(errno);
  } else {
    return fd;
  }
  return UniqueFd{};
}

}  // namespace millrace::drivers
