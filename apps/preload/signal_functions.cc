// sigaction(2): the program's handlers are called through one of ours, which puts a signal off that comes
// while its thread is inside the stack (posix::SignalGate), so that handlers may write, send and close.
#include <signal.h>

#include <array>
#include <atomic>

#include "calls.h"
#include "posix/signals.h"

namespace millrace::preload {

namespace {

/// What the program asked for. Written with all signals blocked, read in handlers: a sequence lock.
class Action {
 public:
  [[nodiscard]] struct sigaction get() const {
    struct sigaction copy;
    for (;;) {
      const std::uint32_t before = sequence_.load(std::memory_order_acquire);
      copy = action_;
      std::atomic_thread_fence(std::memory_order_acquire);
      if ((before & 1) == 0 && sequence_.load(std::memory_order_relaxed) == before) return copy;
    }
  }
  void set(const struct sigaction& action) {
    sequence_.fetch_add(1, std::memory_order_acq_rel);
    action_ = action;
    sequence_.fetch_add(1, std::memory_order_release);
  }

 private:
  std::atomic<std::uint32_t> sequence_{0};
  struct sigaction action_ {};
};

struct Actions {
  std::array<Action, NSIG> all;
  std::array<std::atomic<bool>, NSIG> ours{};  ///< our handler stands in for the program's
  posix::Mutex mutex;
};
Actions actions;

/// The flag is the sign bit of sa_flags.
constexpr int kResetHandler = static_cast<int>(SA_RESETHAND);

bool is_handler(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 ||
         (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
}

void handle(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  if (posix::signal_gate.must_defer() && !posix::is_fault(signal)) {
    posix::signal_gate.defer(signal, *info, static_cast<ucontext_t*>(context)->uc_sigmask);
    errno = error;
    return;
  }
  const struct sigaction action = actions.all[static_cast<std::size_t>(signal)].get();
  if ((action.sa_flags & kResetHandler) != 0) {
    struct sigaction back {};
    back.sa_handler = SIG_DFL;
    next.sigaction(signal, &back, nullptr);
    actions.ours[static_cast<std::size_t>(signal)].store(false, std::memory_order_relaxed);
  }
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(signal, info, context);
  } else if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) {
    action.sa_handler(signal);
  }
}

int change(int signal, const struct sigaction* wanted, struct sigaction* before) {
  if (next.sigaction == nullptr) find_next();
  if (signal <= 0 || signal >= NSIG) return next.sigaction(signal, wanted, before);
  const auto index = static_cast<std::size_t>(signal);
  sigset_t all, mask;
  sigfillset(&all);
  sys::set_signal_mask(SIG_SETMASK, &all, &mask);
  actions.mutex.lock();
  struct sigaction old {};
  const bool ours = actions.ours[index].load(std::memory_order_relaxed);
  if (ours) old = actions.all[index].get();
  struct sigaction kernel {};
  int result = 0;
  if (wanted != nullptr && is_handler(*wanted)) {
    kernel = *wanted;
    kernel.sa_sigaction = &handle;
    // Once-only handlers are put back by ours, when they really ran.
    kernel.sa_flags = (kernel.sa_flags | SA_SIGINFO) & ~kResetHandler;
    actions.all[index].set(*wanted);
    result = next.sigaction(signal, &kernel, ours ? nullptr : &old);
    if (result == 0) actions.ours[index].store(true, std::memory_order_relaxed);
  } else {
    result = next.sigaction(signal, wanted, ours ? nullptr : &old);
    if (result == 0 && wanted != nullptr) actions.ours[index].store(false, std::memory_order_relaxed);
  }
  actions.mutex.unlock();
  const int error = errno;
  sys::set_signal_mask(SIG_SETMASK, &mask, nullptr);
  errno = error;
  if (result == 0 && before != nullptr) *before = old;
  return result;
}

sighandler_t change_handler(int signal, sighandler_t handler, int flags) {
  struct sigaction wanted {
  }, before{};
  wanted.sa_handler = handler;
  wanted.sa_flags = flags;
  sigemptyset(&wanted.sa_mask);
  return change(signal, &wanted, &before) == 0 ? before.sa_handler : SIG_ERR;
}

}  // namespace

extern "C" {

int millrace_sigaction(int signal, const struct sigaction* wanted, struct sigaction* before) asm("sigaction");
int millrace_sigaction(int signal, const struct sigaction* wanted, struct sigaction* before) {
  return change(signal, wanted, before);
}
sighandler_t millrace_signal(int signal, sighandler_t handler) asm("signal");
sighandler_t millrace_signal(int signal, sighandler_t handler) {
  return change_handler(signal, handler, SA_RESTART);
}
sighandler_t millrace_sysv_signal(int signal, sighandler_t handler) asm("__sysv_signal");
sighandler_t millrace_sysv_signal(int signal, sighandler_t handler) {
  return change_handler(signal, handler, kResetHandler | SA_NODEFER);
}

}  // extern "C"

}  // namespace millrace::preload
