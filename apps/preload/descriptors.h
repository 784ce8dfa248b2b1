#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>

namespace millrace::preload {

/// What the program's descriptor numbers stand for. A number is always a real one of the kernel's, open as a
/// placeholder, so that no other descriptor gets it and fstat, ESPIPE and close-on-exec come out right; here
/// it leads to the stack's descriptor (2^30 and up). dup'ed numbers share one.
///
///     program's fd 7 ─┐
///     program's fd 9 ─┴─> stack's fd 2^30+3 {references 2, undecided}
///     program's fd 8 ───> 0: the kernel's alone
///
/// Looking up takes no lock. What becomes of a number that one thread closes while another uses it is as
/// open as it is with the kernel.
class Descriptors {
 public:
  static constexpr int kMost = 1 << 20;

  /// The stack's descriptor; 0: the kernel's.
  [[nodiscard]] int find(int fd) const {
    const auto index = static_cast<unsigned>(fd);
    if (index >= kMost) return 0;
    return atomic(entries_[index].stack_fd).load(std::memory_order_acquire);
  }
  [[nodiscard]] static bool fits(int fd) { return fd >= 0 && fd < kMost; }

  /// `fd` stands for `stack_fd` from now on, as its first number.
  void install(int fd, int stack_fd, bool undecided);
  /// `fd` is another number for what `stack_fd` is.
  void share(int fd, int stack_fd);
  /// `fd` stands for nothing here any more: the stack's descriptor that it stood for, or 0.
  [[nodiscard]] int take(int fd);
  /// After take(): true when that was the last number.
  [[nodiscard]] bool drop(int stack_fd);

  /// A socket of which bind() or connect() will say whether it is the stack's. True for one caller.
  [[nodiscard]] bool decide(int stack_fd);
  [[nodiscard]] bool undecided(int stack_fd) const;

  /// A listener that also listens in the kernel, on the placeholder itself: for clients of this machine.
  [[nodiscard]] bool has_twin(int stack_fd) const;
  void set_twin(int stack_fd);

  // --- kernel epoll descriptors
  [[nodiscard]] bool is_epoll(int fd) const {
    return fits(fd) && atomic(entries_[fd].epoll).load(std::memory_order_relaxed);
  }
  void set_epoll(int fd, bool on) {
    if (fits(fd)) atomic(entries_[fd].epoll).store(on, std::memory_order_relaxed);
  }
  /// How many threads wait in the kernel's epoll_wait for it, the stack not knowing the set.
  [[nodiscard]] std::atomic_ref<std::int16_t> waiters(int fd) { return atomic(entries_[fd].waiters); }

  /// Calls visit(fd) for every number that stands for something of the stack, from `first` to `last`.
  template <typename Visitor>
  void for_each(unsigned first, unsigned last, Visitor&& visit) const {
    const unsigned end = highest_.load(std::memory_order_acquire);
    for (unsigned fd = first; fd <= last && fd <= end; ++fd) {
      if (atomic(entries_[fd].stack_fd).load(std::memory_order_relaxed) != 0) visit(static_cast<int>(fd));
    }
  }

 private:
  // Plain numbers, used by atomic_ref alone: so that the tables are all zero before any code has run, and
  // untouched pages of them cost nothing.
  struct Entry {
    int stack_fd;
    std::int16_t waiters;
    bool epoll;
  };
  struct Shared {
    std::uint32_t numbers;
    bool undecided, twin;
  };
  template <typename T>
  static std::atomic_ref<T> atomic(const T& value) {
    return std::atomic_ref<T>(const_cast<T&>(value));
  }
  [[nodiscard]] Shared& shared(int stack_fd);
  [[nodiscard]] const Shared& shared(int stack_fd) const;

  Entry entries_[kMost]{};
  Shared shared_[kMost]{};
  std::atomic<unsigned> highest_{0};
};

extern Descriptors descriptors;

}  // namespace millrace::preload
