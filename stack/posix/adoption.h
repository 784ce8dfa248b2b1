#pragma once

#include <poll.h>

#include <cstdint>
#include <vector>

#include "posix/context_group.h"

namespace millrace::posix {

/// Contexts that a thread looks after while it waits in another one: it sleeps on their devices, too, and
/// polls them afterwards. Only those that no thread of the program has waited in lately, so that threads with
/// a context each do not meet. No lock is held between the calls.
class Adoption {
 public:
  explicit Adoption(ContextGroup& group) : group_(group) {}
  Adoption(const Adoption&) = delete;
  Adoption& operator=(const Adoption&) = delete;
  ~Adoption();

  /// If nobody attends to it. False: something came in meanwhile, look again instead of sleeping.
  [[nodiscard]] bool take(std::size_t index, Instant now);
  /// What to sleep on besides, and until when at most.
  [[nodiscard]] std::vector<pollfd>& fds() { return fds_; }
  [[nodiscard]] Instant deadline() const { return deadline_; }

 private:
  ContextGroup& group_;
  std::uint64_t taken_ = 0;
  std::vector<pollfd> fds_;
  Instant deadline_ = kNever;
};

}  // namespace millrace::posix
