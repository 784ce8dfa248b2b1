#include "posix/signals.h"

#include "posix/system.h"

namespace millrace::posix {

thread_local constinit SignalGate signal_gate;

bool is_fault(int signal) {
  switch (signal) {
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
    case SIGABRT:
      return true;
    default:
      return false;
  }
}

void SignalGate::defer(int signal, siginfo_t& info, sigset_t& interrupted) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  sys::set_signal_mask(SIG_BLOCK, &one, nullptr);
  sigaddset(&interrupted, signal);
  deferred_ = deferred_ | std::uint64_t{1} << (signal - 1);
  // The kernel lets a thread send itself any si_code.
  sys::call(SYS_rt_tgsigqueueinfo, sys::call(SYS_getpid), sys::call(SYS_gettid), signal, sys::word(&info));
}

void SignalGate::deliver() {
  sigset_t waiting;
  sigemptyset(&waiting);
  for (int signal = 1; signal <= 64; ++signal) {
    if ((deferred_ >> (signal - 1) & 1) != 0) sigaddset(&waiting, signal);
  }
  deferred_ = 0;
  sys::set_signal_mask(SIG_UNBLOCK, &waiting, nullptr);
}

void SignalGate::hand_over(sigset_t& mask) {
  if (deferred_ == 0) return;
  for (int signal = 1; signal <= 64; ++signal) {
    if ((deferred_ >> (signal - 1) & 1) != 0) sigdelset(&mask, signal);
  }
  deferred_ = 0;
}

void SignalHold::hold() {
  if (held_) return;
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before_);
  held_ = true;
  signal_gate.hand_over(before_);
}

void SignalHold::release() {
  if (!held_) return;
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  held_ = false;
}

bool handlers_restart(const sigset_t* mask) {
  sigset_t own;
  if (mask == nullptr) {
    pthread_sigmask(SIG_SETMASK, nullptr, &own);
    mask = &own;
  }
  for (int signal = 1; signal < NSIG; ++signal) {
    if (sigismember(mask, signal) != 0 || is_fault(signal)) continue;
    struct sigaction action;
    if (sigaction(signal, nullptr, &action) != 0) continue;  // the C library's own
    const bool handled =
        (action.sa_flags & SA_SIGINFO) != 0 || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
    if (handled && (action.sa_flags & SA_RESTART) == 0) return false;
  }
  return true;
}

}  // namespace millrace::posix
