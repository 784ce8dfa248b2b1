// fork(2), exec(3), _exit(2): what a process's end and its children do to the stack.
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "calls.h"
#include "posix/library.h"

namespace millrace::preload {

namespace {

enum class Role : std::uint8_t {
  kUnclaimed,  ///< nobody has used the stack yet, but perhaps to listen
  kOwner,
  kHeir,  ///< a relative has it
};
std::atomic<Role> role{Role::kUnclaimed};
std::atomic<bool> complained{false};

void before_fork() {
  posix::Library::instance().before_fork();
}
void after_fork_in_parent() {
  posix::Library::instance().after_fork_in_parent();
}
void after_fork_in_child() {
  posix::Library::instance().after_fork_in_child();
  if (role.load(std::memory_order_relaxed) == Role::kOwner)
    role.store(Role::kHeir, std::memory_order_relaxed);
}

/// Variables that a program's own environment for its child must have, as ours does.
constexpr const char* kCarried[] = {"LD_PRELOAD", "MILLRACE_"};

bool carried(const char* variable) {
  for (const char* prefix : kCarried) {
    if (strncmp(variable, prefix, strlen(prefix)) == 0) return true;
  }
  return false;
}

/// The environment for a new program image: the caller's, and ours where it left that out.
class Environment {
 public:
  explicit Environment(char* const* given) {
    bool preloads = false;
    for (char* const* one = given; one != nullptr && *one != nullptr; ++one) {
      preloads = preloads || strncmp(*one, "LD_PRELOAD=", 11) == 0;
      variables_.push_back(*one);
    }
    if (!preloads) {
      for (char** own = environ; own != nullptr && *own != nullptr; ++own) {
        if (carried(*own)) variables_.push_back(*own);
      }
    }
    variables_.push_back(nullptr);
  }
  [[nodiscard]] char* const* get() const { return variables_.data(); }

 private:
  std::vector<char*> variables_;
};

/// As the kernel would: what is queued still goes out.
void drain() {
  if (!is_heir()) posix::Library::instance().leave();
}

/// Before another image takes this one's place; not when it is plain that none will.
void drain_for(const char* file) {
  if (file == nullptr || (strchr(file, '/') != nullptr && access(file, X_OK) != 0)) return;
  drain();
}

std::vector<char*> collect(const char* first, va_list arguments) {
  std::vector<char*> all{const_cast<char*>(first)};
  while (all.back() != nullptr) all.push_back(va_arg(arguments, char*));
  return all;
}

}  // namespace

bool owns_stack() {
  return role.load(std::memory_order_relaxed) == Role::kOwner;
}

bool is_heir() {
  return role.load(std::memory_order_relaxed) == Role::kHeir;
}

void become_heir() {
  role.store(Role::kHeir, std::memory_order_relaxed);
}

bool may_use(int fd, Use use) {
  if (use == Use::kQuiet) return true;
  if (!is_heir()) {
    const bool mine = posix::Library::instance().claim();
    role.store(mine ? Role::kOwner : Role::kHeir, std::memory_order_relaxed);
    if (mine) return true;
  }
  if (!complained.exchange(true)) {
    complain("descriptor " + std::to_string(fd) +
             " belongs to the stack of another process (this one was forked from it, or it from this one): "
             "only one of them can use it in this mode");
  }
  return false;
}

void watch_forks_and_ends() {
  pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  // quick_exit(3) goes neither by exit(3)'s handlers nor by a name of ours. The first to be registered: the
  // program's own still have the stack.
  at_quick_exit(drain);
}

extern "C" {

/// A child of vfork shares our memory: what it closes would be closed here.
pid_t millrace_vfork(void) asm("vfork");
pid_t millrace_vfork(void) {
  return fork();
}

int millrace_execve(const char* path, char* const* arguments, char* const* variables) asm("execve");
int millrace_execve(const char* path, char* const* arguments, char* const* variables) {
  drain_for(path);
  return next.execve(path, arguments, Environment(variables).get());
}
int millrace_execvpe(const char* file, char* const* arguments, char* const* variables) asm("execvpe");
int millrace_execvpe(const char* file, char* const* arguments, char* const* variables) {
  drain_for(file);
  return next.execvpe(file, arguments, Environment(variables).get());
}
int millrace_execv(const char* path, char* const* arguments) asm("execv");
int millrace_execv(const char* path, char* const* arguments) {
  return millrace_execve(path, arguments, environ);
}
int millrace_execvp(const char* file, char* const* arguments) asm("execvp");
int millrace_execvp(const char* file, char* const* arguments) {
  return millrace_execvpe(file, arguments, environ);
}
int millrace_fexecve(int fd, char* const* arguments, char* const* variables) asm("fexecve");
int millrace_fexecve(int fd, char* const* arguments, char* const* variables) {
  drain();
  return next.fexecve(fd, arguments, Environment(variables).get());
}
int millrace_execl(const char* path, const char* first, ...) asm("execl");
int millrace_execl(const char* path, const char* first, ...) {
  va_list arguments;
  va_start(arguments, first);
  const std::vector<char*> all = collect(first, arguments);
  va_end(arguments);
  return millrace_execve(path, all.data(), environ);
}
int millrace_execlp(const char* file, const char* first, ...) asm("execlp");
int millrace_execlp(const char* file, const char* first, ...) {
  va_list arguments;
  va_start(arguments, first);
  const std::vector<char*> all = collect(first, arguments);
  va_end(arguments);
  return millrace_execvpe(file, all.data(), environ);
}
int millrace_execle(const char* path, const char* first, ...) asm("execle");
int millrace_execle(const char* path, const char* first, ...) {
  va_list arguments;
  va_start(arguments, first);
  const std::vector<char*> all = collect(first, arguments);
  char* const* variables = va_arg(arguments, char* const*);
  va_end(arguments);
  return millrace_execve(path, all.data(), variables);
}

int millrace_posix_spawn(pid_t* pid, const char* path, const void* actions, const void* attributes,
                         char* const* arguments, char* const* variables) asm("posix_spawn");
int millrace_posix_spawn(pid_t* pid, const char* path, const void* actions, const void* attributes,
                         char* const* arguments, char* const* variables) {
  return next.posix_spawn(pid, path, actions, attributes, arguments, Environment(variables).get());
}
int millrace_posix_spawnp(pid_t* pid, const char* file, const void* actions, const void* attributes,
                          char* const* arguments, char* const* variables) asm("posix_spawnp");
int millrace_posix_spawnp(pid_t* pid, const char* file, const void* actions, const void* attributes,
                          char* const* arguments, char* const* variables) {
  return next.posix_spawnp(pid, file, actions, attributes, arguments, Environment(variables).get());
}

[[noreturn]] void millrace_exit_now(int status) asm("_exit");
void millrace_exit_now(int status) {
  drain();
  for (;;) sys::call(SYS_exit_group, status);
}
[[noreturn]] void millrace_exit_now_c99(int status) asm("_Exit");
void millrace_exit_now_c99(int status) {
  millrace_exit_now(status);
}

}  // extern "C"

}  // namespace millrace::preload
