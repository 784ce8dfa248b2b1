#include "posix/signals.h"

namespace millrace::posix {

namespace {

/// A thread's own doing, which does not happen to it while it sleeps: handlers for these tell nothing.
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

}  // namespace

void SignalHold::hold() {
  if (held_) return;
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before_);
  held_ = true;
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
