#include "posix/control.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <system_error>

#include "posix/context.h"
#include "posix/context_group.h"
#include "posix/control_answers.h"
#include "posix/control_channel.h"
#include "posix/run_directory.h"
#include "posix/signals.h"
#include "posix/system.h"

namespace millrace::posix {

namespace {

constexpr int kCallersWaiting = 16;
/// Files of dead processes that a start looks for: a program that is killed and restarted for ever leaves
/// none.
constexpr std::size_t kSweep = 256;
constexpr Duration kOutOfDescriptorsPause = 100ms;

std::string because(const std::string& what, int error) {
  return what + ": " + std::generic_category().message(error);
}

/// A descriptor, and which file it stood for when it was made.
class OwnFd {
 public:
  OwnFd() = default;
  OwnFd(const OwnFd&) = delete;
  OwnFd& operator=(const OwnFd&) = delete;
  ~OwnFd() { reset(); }

  /// Of what a system call gave. 0, or its error.
  int set(long fd) {
    fd_ = static_cast<int>(sys::keep_own(fd));
    struct stat status {};
    if (fd_ < 0) return -fd_;
    if (fstat(fd_, &status) != 0) return errno;
    device_ = status.st_dev;
    inode_ = status.st_ino;
    return 0;
  }
  [[nodiscard]] int get() const { return fd_; }
  /// False when the program has closed it, whatever its number stands for now.
  [[nodiscard]] bool valid() const {
    struct stat status;
    return fd_ >= 0 && fstat(fd_, &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
  }
  void reset() {
    if (valid()) sys::close_own(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace

/// The thread's side. Destroyed by stop() after the thread has ended, or never.
class Control::Server {
 public:
  Server(std::vector<Context*> contexts, FdTable& fds) : contexts_(std::move(contexts)), fds_(fds) {}

  [[nodiscard]] std::string open(std::string directory);
  [[nodiscard]] std::string start_thread();
  /// False: the thread could not be told to end, and still refers to this.
  [[nodiscard]] bool end_thread();
  void remove_file() const;
  void close_after_fork();
  /// Never destroyed: kept where a leak checker finds it.
  void let_go() {
    static std::atomic<Server*> all{nullptr};
    next_let_go_ = all.exchange(this);
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] std::string listen_at(const std::string& path);
  void run();
  void serve(int client);

  std::vector<Context*> contexts_;
  FdTable& fds_;
  const pid_t pid_ = getpid();
  OwnFd listener_, stop_;
  std::atomic<int> client_{-1};
  std::atomic<bool> stopping_{false};
  std::string path_;  ///< absolute: the program may change its directory
  dev_t device_ = 0;  ///< of the socket's file
  ino_t inode_ = 0;
  pthread_t thread_{};
  Server* next_let_go_ = nullptr;
};

std::string Control::Server::open(std::string directory) {
  if (!make_run_directory(directory)) return because(directory, errno);
  const std::unique_ptr<char, void (*)(void*)> absolute(realpath(directory.c_str(), nullptr), free);
  if (absolute == nullptr) return because(directory, errno);
  directory = absolute.get();
  sweep(directory, kSweep);
  path_ = control_path(directory, pid_);
  if (const int other = connect_control(path_); other >= 0 || other == -EAGAIN) {
    if (other >= 0) sys::close(other);
    return path_ + ": a process with this number has it, in another namespace";
  }
  if (std::string problem = listen_at(directory + "/." + std::to_string(pid_)); !problem.empty())
    return problem;
  const int error = stop_.set(sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  return error != 0 ? because("eventfd", error) : "";
}

/// The file gets its name when somebody listens there already: to others it is never one of a dead process.
std::string Control::Server::listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (std::max(path.size(), path_.size()) >= sizeof address.sun_path) return because(path_, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.data(), path.size());
  if (const int error = listener_.set(sys::unix_stream()); error != 0) return because("socket", error);
  // bind(2) gives the file the mode of the socket, so that it never has a wider one.
  if (fchmod(listener_.get(), 0600) != 0) return because("fchmod", errno);
  (void)unlink(path.c_str());
  long result = sys::call(SYS_bind, listener_.get(), sys::word(&address), sizeof address);
  if (result == 0) result = sys::call(SYS_listen, listener_.get(), kCallersWaiting);
  if (result != 0) return because(path, static_cast<int>(-result));
  struct stat status;
  if (lstat(path.c_str(), &status) != 0 || rename(path.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    (void)unlink(path.c_str());
    return because(path_, error);
  }
  device_ = status.st_dev;
  inode_ = status.st_ino;
  return "";
}

std::string Control::Server::start_thread() {
  SignalHold none;  // inherited by the thread: signals are the program's
  none.hold();
  const auto body = [](void* self) -> void* {
    static_cast<Server*>(self)->run();
    return nullptr;
  };
  if (const int error = pthread_create(&thread_, nullptr, body, this); error != 0)
    return because("pthread_create", error);
  pthread_setname_np(thread_, "millrace-ctl");
  return "";
}

bool Control::Server::end_thread() {
  stopping_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  if (!stop_.valid() || sys::write(stop_.get(), &one, sizeof one) != sizeof one) {
    // The program has closed the descriptor on which the thread still sleeps.
    pthread_detach(thread_);
    return false;
  }
  pthread_join(thread_, nullptr);
  return true;
}

void Control::Server::remove_file() const {
  struct stat status;
  if (inode_ != 0 && lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
      status.st_ino == inode_)
    (void)unlink(path_.c_str());
}

void Control::Server::close_after_fork() {
  // The thread may have been in the middle of anything, but these were open.
  if (const int client = client_.load(std::memory_order_relaxed); client >= 0) sys::close_own(client);
  listener_.reset();
  stop_.reset();
}

void Control::Server::run() {
  while (wait_for(listener_.get(), POLLIN, stop_.get(), kNever) == ControlWait::kReady) {
    if (stopping_.load(std::memory_order_acquire) || !listener_.valid()) return;
    const auto client = static_cast<int>(
        sys::keep_own(sys::call(SYS_accept4, listener_.get(), 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK)));
    if (client >= 0) {
      client_.store(client, std::memory_order_relaxed);
      serve(client);
      client_.store(-1, std::memory_order_relaxed);
      sys::close_own(client);
    } else if (client == -EMFILE || client == -ENFILE || client == -ENOMEM || client == -ENOBUFS) {
      // The caller stays in the queue and would be reported at once again.
      if (wait_for(-1, 0, stop_.get(), clock_now() + kOutOfDescriptorsPause) == ControlWait::kStop) return;
    } else if (client != -EAGAIN && client != -EINTR && client != -ECONNABORTED) {
      return;
    }
  }
}

void Control::Server::serve(int client) {
  ControlChannel channel(client, stop_.get());
  try {
    answer_request(contexts_, fds_, channel);
  } catch (const std::bad_alloc&) {
    // The client sees an answer without an end.
  }
}

// --- the program's side

std::string Control::start(ContextGroup& group, FdTable& fds) {
  std::vector<Context*> contexts;
  for (const auto& context : group) contexts.push_back(context.get());
  return start(std::move(contexts), fds);
}

std::string Control::start(Context& context, FdTable& fds) {
  return start(std::vector{&context}, fds);
}

std::string Control::start(std::vector<Context*> contexts, FdTable& fds) {
  end();
  auto server = std::make_unique<Server>(std::move(contexts), fds);
  if (run_directory_.empty()) run_directory_ = run_directory();
  std::string problem = server->open(run_directory_);
  if (problem.empty()) problem = server->start_thread();
  if (problem.empty()) {
    server_ = server.release();
  } else {
    server->remove_file();
  }
  return problem;
}

void Control::stop() {
  end();
  run_directory_.clear();
}

void Control::end() {
  if (server_ == nullptr) return;
  if (server_->pid() != getpid()) {
    after_fork_in_child();
    return;
  }
  server_->remove_file();
  if (server_->end_thread()) {
    delete server_;
  } else {
    server_->let_go();
  }
  server_ = nullptr;
}

void Control::after_fork_in_child() {
  if (server_ == nullptr) return;
  server_->close_after_fork();
  // Not destroyed: freeing memory is not for the child of a program with threads.
  server_ = nullptr;
}

std::string Control::path() const {
  return server_ != nullptr ? server_->path() : std::string();
}

}  // namespace millrace::posix
