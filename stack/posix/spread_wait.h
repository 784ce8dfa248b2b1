#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "posix/context_group.h"
#include "posix/file.h"
#include "posix/waiter.h"

namespace millrace::posix {

/// A thread that waits for files in several contexts at once, for the time of one call: asleep in one of
/// them, and known to the others' files, which wake it by a descriptor of its own. No lock is held between
/// the calls, and the destructor takes each in turn.
class SpreadWait {
 public:
  explicit SpreadWait(ContextGroup& group);
  SpreadWait(const SpreadWait&) = delete;
  SpreadWait& operator=(const SpreadWait&) = delete;
  ~SpreadWait();

  /// Under the file's context's lock: holds and watches it. The state is to be looked at afterwards.
  void watch(File& file, Ready mask, bool exclusive);
  /// A descriptor of the kernel's that ends a wait, too; `revents` is written to.
  [[nodiscard]] WaitResult wait(const WaitRequest& request);

 private:
  struct Point {
    File* file;
    WaitLink link;
  };
  class Elsewhere;

  [[nodiscard]] std::size_t home() const;

  ContextGroup& group_;
  std::unique_ptr<Waiter[]> waiters_;  ///< one a context
  std::vector<bool> used_;
  std::deque<Point> points_;  ///< which stay where they are
};

}  // namespace millrace::posix
