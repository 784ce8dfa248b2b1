#pragma once

#include <signal.h>

namespace millrace::posix {

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

/// After EINTR: true when every handler that can have run was installed with SA_RESTART (fault handlers
/// aside). `mask` was in force; null: the thread's own.
[[nodiscard]] bool handlers_restart(const sigset_t* mask);

}  // namespace millrace::posix
