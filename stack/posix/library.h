#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "posix/context.h"
#include "posix/context_group.h"
#include "posix/control.h"
#include "posix/fd_table.h"
#include "posix/file.h"
#include "posix/socket_file.h"

struct mr_config;

namespace millrace::posix {

/// The queues of an open device, or one line that says why there is none.
struct OpenedDevice {
  std::vector<std::unique_ptr<NetDevice>> queues;
  std::string error;
};
struct Settings;
/// Opens the device that the settings name, with what else they say of it. Given by whoever links this room
/// with drivers.
using DeviceOpener = std::function<OpenedDevice(const Settings& settings)>;

/// What a process has one of: the descriptor table and the contexts of its stack.
class Library {
 public:
  [[nodiscard]] static Library& instance();

  void set_device_opener(DeviceOpener opener) { opener_ = std::move(opener); }

  /// mr_init: 0 or -errno, with a line in last_error().
  [[nodiscard]] long init(const mr_config* config);
  /// mr_finish.
  void finish();
  /// The calling thread's context, started from the environment when there is none. Null: it could not be.
  [[nodiscard]] Context* context();
  [[nodiscard]] Context* context_if_any() {
    ContextGroup* group = contexts_if_any();
    return group == nullptr ? nullptr : &group->home();
  }
  [[nodiscard]] ContextGroup* contexts_if_any() { return group_.load(std::memory_order_acquire); }
  [[nodiscard]] FdTable& fds() { return fds_; }
  /// Of the contexts that a descriptor's is one of; null: it is none, or its context is alone.
  [[nodiscard]] ContextGroup* group_of(int fd) {
    FdTable::Slot* slot = fds_.slot(fd);
    Context* context = slot == nullptr ? nullptr : slot->context.load(std::memory_order_acquire);
    return context == nullptr || context->is_alone() ? nullptr : context->group();
  }
  [[nodiscard]] Control& control() { return control_; }

  /// Closes every descriptor of the contexts, lets TCP deliver what was sent, and ends the backup pollers.
  void shut_down(Context& context);
  void shut_down(ContextGroup& group);

  // --- processes: for a preloaded library, around fork(2)
  void before_fork();
  void after_fork_in_parent();
  void after_fork_in_child();
  /// With a launcher's shared state: the process that has the stack and is not this one; 0: none.
  [[nodiscard]] static pid_t owner_elsewhere();
  /// See Context::claim().
  [[nodiscard]] bool claim();
  /// The process ends without exit(3): what was queued is delivered as far as the drain time allows.
  void leave();

  /// The calling thread's.
  [[nodiscard]] static std::string& last_error();

 private:
  Library() : fds_(1u << 20) {}
  long start(const mr_config* config);
  [[nodiscard]] long open_device(const Settings& settings, OpenedDevice& opened, std::string& error);
  void start_control() { (void)control_.start(*owned_, fds_); }
  void close_all(const Context& context);
  /// At exit(): other threads may be inside, so that nothing is destroyed.
  void finish_at_exit();

  Mutex init_mutex_;
  DeviceOpener opener_;
  FdTable fds_;
  std::unique_ptr<ContextGroup> owned_;
  std::atomic<ContextGroup*> group_{nullptr};
  Control control_;  ///< of owned_
  bool exit_handler_ = false;
};

/// A descriptor, looked up, with its context locked for the scope.
class LockedFile {
 public:
  explicit LockedFile(int fd) {
    FdTable::Slot* slot = Library::instance().fds().slot(fd);
    if (slot == nullptr) return;
    for (;;) {
      Context* context = slot->context.load(std::memory_order_acquire);
      if (context == nullptr) return;
      context->lock();
      if (slot->context.load(std::memory_order_relaxed) == context) [[likely]] {
        context_ = context;
        file_ = slot->file;
        return;
      }
      context->unlock();  // closed, or moved to another context
    }
  }
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;
  ~LockedFile() {
    if (context_ != nullptr) context_->unlock();
  }

  /// Gives the lock back before the scope ends.
  void release() {
    if (context_ != nullptr) context_->unlock();
    context_ = nullptr;
    file_ = nullptr;
  }

  /// The same; says of which context it was.
  [[nodiscard]] Context& hand_over() {
    Context& context = *context_;
    release();
    return context;
  }

  explicit operator bool() const { return file_ != nullptr; }
  [[nodiscard]] Context& context() const { return *context_; }
  [[nodiscard]] File& file() const { return *file_; }
  [[nodiscard]] bool is_socket() const { return file_->kind() == File::Kind::kSocket; }
  [[nodiscard]] SocketFile& socket_file() const { return static_cast<SocketFile&>(*file_); }

 private:
  Context* context_ = nullptr;
  File* file_ = nullptr;
};

}  // namespace millrace::posix
