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

long Library::open_device(const Settings& settings, OpenedDevice& opened, std::string& error) {
  if (settings.device == "none") {
    opened.queues.resize(settings.queues);
    return 0;
  }
  if (!opener_) {
    error = "this build has no drivers: only device \"none\" can be used";
    return -ENODEV;
  }
  opened = opener_(settings);
  if (opened.queues.empty()) {
    error = opened.error;
    return -ENODEV;
  }
  const std::uint32_t mtu = opened.queues.front()->mtu();
  if (settings.context.interface.mtu <= mtu) return 0;
  error = "mtu " + std::to_string(settings.context.interface.mtu) + " is more than device " +
          settings.device + " carries (" + std::to_string(mtu) + ")";
  return -EINVAL;
}

long Library::start(const mr_config* config) {
  std::string& error = last_error();
  error.clear();
  if (contexts_if_any() != nullptr) {
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
  if (const long wrong = open_device(settings, opened, error); wrong != 0) return wrong;
  fds_.set_limit(settings.max_descriptors);
  settings.context.shared_file = read_inheritance().shared_file;
  try {
    owned_ = std::make_unique<ContextGroup>(settings.context, std::move(opened.queues));
  } catch (const std::exception& problem) {
    error = std::string("cannot start the stack: ") + problem.what();
    return -ENOMEM;
  }
  group_.store(owned_.get(), std::memory_order_release);
  start_control();  // the program runs without one as well
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

void Library::close_all(const Context& context) {
  fds_.for_each([&](int fd, const Context& owner) {
    if (&owner == &context) (void)close_file(fd, false);
  });
}

void Library::shut_down(ContextGroup& group) {
  for (const auto& context : group) close_all(*context);
  group.drain();
  group.stop_backups();
}

void Library::shut_down(Context& context) {
  close_all(context);
  if (context.config().drain > Duration::zero()) (void)context.drain(context.config().drain);
  context.stop_backup();
}

void Library::finish() {
  init_mutex_.lock();
  if (owned_) {
    shut_down(*owned_);
    control_.stop();
    group_.store(nullptr, std::memory_order_release);
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
  ContextGroup* group = contexts_if_any();
  if (group == nullptr || !group->claim()) return false;
  // A child that has taken the stack over is seen by the tools from now on.
  init_mutex_.lock();
  if (owned_ && !control_.running()) start_control();
  init_mutex_.unlock();
  return true;
}

void Library::leave() {
  finish_at_exit();
}

void Library::finish_at_exit() {
  ContextGroup* group = contexts_if_any();
  if (group == nullptr) return;
  if (!group->dormant()) {
    group->begin_exit();
    shut_down(*group);
  }
  control_.stop();
}

}  // namespace millrace::posix
