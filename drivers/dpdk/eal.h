#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "dpdk/eal_arguments.h"

namespace millrace::drivers::dpdk {

/// DPDK's environment abstraction layer, which a process has once: started at the first device, never ended.
/// It lives in a thread of its own, because it pins the thread that starts it; whatever may take time or
/// makes threads (probing, configuring and closing devices) is done there. All signals are blocked in it and
/// in the threads that it makes.
class Eal {
 public:
  [[nodiscard]] static Eal& instance();

  /// Empty, or what is wrong. Does nothing when it runs already.
  [[nodiscard]] std::string start(const EalOptions& options);
  /// Calls `job` on the EAL's thread and waits. False, and nothing done, in a process forked from the one
  /// that started it: threads do not survive fork(2).
  bool run(const std::function<void()>& job);
  /// The same, some time later, without waiting. A job of the same owner can be withdrawn.
  void post(const void* owner, std::chrono::milliseconds delay, std::function<void()> job);
  /// On the EAL's thread: forgets what `owner` has posted.
  void withdraw(const void* owner);
  /// On the EAL's thread: calls `job` in the thread in which DPDK handles interrupts, between two of them,
  /// and waits. False, and nothing done: it takes none.
  [[nodiscard]] static bool run_among_interrupts(const std::function<void()>& job);

  /// What DPDK said last that was an error, in one line; forgotten with this call.
  [[nodiscard]] std::string take_complaint();

 private:
  using Clock = std::chrono::steady_clock;
  struct Job {
    const void* owner;
    Clock::time_point due;
    std::function<void()> work;
  };

  Eal() = default;
  [[nodiscard]] std::string initialise(const EalOptions& options);
  void serve();
  void open_log();
  static ssize_t on_log(void* cookie, const char* text, std::size_t size);

  std::mutex start_mutex_;
  bool started_ = false;
  bool with_pci_ = false;
  std::string failure_;  ///< the EAL can be tried only once
  pid_t process_ = 0;

  std::mutex mutex_;  ///< of what follows
  std::condition_variable changed_;
  std::vector<Job> jobs_;
  std::mutex log_mutex_;
  std::string complaint_;
};

}  // namespace millrace::drivers::dpdk
