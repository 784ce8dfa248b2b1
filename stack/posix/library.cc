#include "posix/library.h"

#include <errno.h>
#include <millrace/socket.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "posix/calls.h"
#include "posix/settings.h"

namespace millrace::posix {

static_assert(kFirstFd == MR_FIRST_FD);

Library& Library::instance() {
  // Never destroyed: threads of the program may be inside while exit() runs destructors.
  static Library* const library = new Library;
  return *library;
}

pid_t Library::owner_elsewhere() {
  const Inheritance inheritance = read_inheritance();
  if (inheritance.shared_file < 0) return 0;
  SharedState* state = map_shared_state(inheritance.shared_file);
  if (state == nullptr) return 0;
  const pid_t owner = state->owner.load();
  munmap(state, sizeof *state);
  return owner == 0 || owner == getpid() || is_dead(owner) ? 0 : owner;
}

std::string& Library::last_error() {
  thread_local std::string line;
  return line;
}

long Library::start(const mr_config* config) {
  std::string& error = last_error();
  error.clear();
  if (context_if_any() != nullptr) {
    error = "millrace is set up already";
    return -EALREADY;
  }
  Settings settings;
  if (error = read_settings(config, settings); !error.empty()) return -EINVAL;
  if (const pid_t owner = owner_elsewhere(); owner != 0) {
    error = "the stack is in use by process " + std::to_string(owner) + " of the same program run";
    return -EBUSY;
  }
  OpenedDevice opened;
  if (settings.device != "none") {
    if (!opener_) {
      error = "this build has no drivers: only device \"none\" can be used";
      return -ENODEV;
    }
    opened = opener_(settings);
    if (!opened.device) {
      error = opened.error;
      return -ENODEV;
    }
    if (settings.context.interface.mtu > opened.device->mtu()) {
      error = "mtu " + std::to_string(settings.context.interface.mtu) + " is more than device " +
              settings.device + " carries (" + std::to_string(opened.device->mtu()) + ")";
      return -EINVAL;
    }
  }
  fds_.set_limit(settings.max_descriptors);
  settings.context.shared_file = read_inheritance().shared_file;
  try {
    owned_ = std::make_unique<Context>(settings.context, std::move(opened.device));
  } catch (const std::exception& problem) {
    error = std::string("cannot start the stack: ") + problem.what();
    return -ENOMEM;
  }
  context_.store(owned_.get(), std::memory_order_release);
  (void)control_.start(*owned_, fds_);  // the program runs without one as well
  if (!exit_handler_) {
    exit_handler_ = atexit([] { Library::instance().finish_at_exit(); }) == 0;
  }
  return 0;
}

long Library::init(const mr_config* config) {
  init_mutex_.lock();
  const long result = start(config);
  init_mutex_.unlock();
  return result;
}

Context* Library::context() {
  if (Context* context = context_if_any()) return context;
  init_mutex_.lock();
  if (context_if_any() == nullptr) (void)start(nullptr);
  init_mutex_.unlock();
  return context_if_any();
}

void Library::shut_down(Context& context) {
  fds_.for_each([&](int fd, const Context& owner) {
    if (&owner == &context) (void)close_file(fd, false);
  });
  if (context.config().drain > Duration::zero()) (void)context.drain(context.config().drain);
  context.stop_backup();
}

void Library::finish() {
  init_mutex_.lock();
  if (owned_) {
    shut_down(*owned_);
    control_.stop();
    context_.store(nullptr, std::memory_order_release);
    owned_.reset();
  }
  init_mutex_.unlock();
}

void Library::before_fork() {
  init_mutex_.lock();
  if (owned_) owned_->before_fork();
  fds_.before_fork();
}

void Library::after_fork_in_parent() {
  fds_.after_fork();
  if (owned_) owned_->after_fork_in_parent();
  init_mutex_.unlock();
}

void Library::after_fork_in_child() {
  fds_.after_fork();
  control_.after_fork_in_child();
  if (owned_) owned_->after_fork_in_child();
  init_mutex_.unlock();
}

bool Library::claim() {
  Context* context = context_if_any();
  if (context == nullptr || !context->claim()) return false;
  // A child that has taken the stack over is seen by the tools from now on.
  init_mutex_.lock();
  if (owned_ && !control_.running()) (void)control_.start(*owned_, fds_);
  init_mutex_.unlock();
  return true;
}

void Library::leave() {
  finish_at_exit();
}

void Library::finish_at_exit() {
  Context* context = context_if_any();
  if (context == nullptr) return;
  if (!context->dormant()) {
    context->begin_exit();
    shut_down(*context);
  }
  control_.stop();
}

}  // namespace millrace::posix
