#pragma once

#include <signal.h>

#include <cstdint>

namespace millrace::posix {

/// What this thread's signal handlers must know: whether they interrupted the stack. A handler may call
/// write, send and close, which would wait for the lock that its own thread holds; so whoever delivers
/// signals (the preload library's sigaction) asks must_defer(), and delivery happens at the unlock.
///
///     enter() ... lock, act, unlock ... leave() ─ nothing deferred ─> go on
///                  ^ signal: defer()            └ something ────────> unblocked: the kernel delivers it
class SignalGate {
 public:
  void enter() { inside_ = inside_ + 1; }
  void leave() {
    inside_ = inside_ - 1;
    if (deferred_ != 0 && inside_ == 0) [[unlikely]]
      deliver();
  }
  /// A signal waits for leave().
  [[nodiscard]] bool deferred() const { return deferred_ != 0; }
  [[nodiscard]] bool must_defer() const { return inside_ != 0; }
  /// In a handler: sends the signal to this thread again, blocked until leave(). `interrupted`: the mask that
  /// the handler returns to.
  void defer(int signal, siginfo_t& info, sigset_t& interrupted);
  /// All signals are blocked now: what was deferred is left to the kernel, for when `mask` is in force.
  void hand_over(sigset_t& mask);

 private:
  void deliver();

  volatile std::uint32_t inside_ = 0;
  volatile std::uint64_t deferred_ = 0;  ///< bit n-1: signal n
};

/// In the static block: a handler must not find it missing.
extern thread_local SignalGate signal_gate __attribute__((tls_model("initial-exec")));

/// Blocks all signals of this thread for a scope. A long poll runs under it, so that a signal is taken at the
/// next look, where it ends the call, instead of between two looks, where it would go unnoticed.
class SignalHold {
 public:
  SignalHold() = default;
  SignalHold(const SignalHold&) = delete;
  SignalHold& operator=(const SignalHold&) = delete;
  ~SignalHold() { release(); }

  void hold();
  void release();
  [[nodiscard]] bool held() const { return held_; }
  /// The mask from before, while held.
  [[nodiscard]] const sigset_t* before() const { return held_ ? &before_ : nullptr; }

 private:
  sigset_t before_;
  bool held_ = false;
};

/// A thread's own doing (SIGSEGV, ...), which does not happen to it while it sleeps and cannot wait.
[[nodiscard]] bool is_fault(int signal);

/// After EINTR: true when every handler that can have run was installed with SA_RESTART (fault handlers
/// aside). `mask` was in force; null: the thread's own.
[[nodiscard]] bool handlers_restart(const sigset_t* mask);

}  // namespace millrace::posix
