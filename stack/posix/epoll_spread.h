#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "base/apart.h"
#include "posix/context_group.h"
#include "posix/file.h"

namespace millrace::posix {

class EpollFile;

/// An epoll set in a group of several contexts: a part in each, with the items of the files that live there,
/// and what the parts have in common.
///
///     fd ──> EpollFile, the first ──┐
///            EpollFile, hidden  ────┼── EpollSpread: parts[0 ... n-1], each place under its context's lock
///                                   │                news[i]: part i may have something ready
///     kernel set { the program's descriptors, (mark) bell }
///
/// A thread waits in one context, as it would with a set of that context alone, and with the kernel set.
/// What becomes ready elsewhere rings the bell, if somebody sleeps; it looks there, under that one lock, only
/// where there are news. So threads whose sets and sockets are in their own contexts meet nowhere.
class alignas(kApart) EpollSpread {
 public:
  /// `kernel_set`: the program's; -1: one is made.
  EpollSpread(ContextGroup& group, int kernel_set);
  EpollSpread(const EpollSpread&) = delete;
  EpollSpread& operator=(const EpollSpread&) = delete;
  ~EpollSpread();
  /// 0, or what the kernel refused.
  [[nodiscard]] long open();

  ContextGroup& group;
  std::array<EpollFile*, ContextGroup::kMaxQueues> parts{};  ///< null: closed
  std::array<std::atomic<bool>, ContextGroup::kMaxQueues> news{};
  std::atomic<std::uint64_t> occupied{0};  ///< a bit for each part that has items
  std::atomic<std::uint32_t> sleepers{0};
  /// Others than epoll_wait sleep on the kernel set: it is nested, or polled.
  std::atomic<bool> always_ring{false};

  [[nodiscard]] int kernel_set() const { return kernel_set_; }

  /// Under the lock of part `index`, which has something ready. `told`: a thread that waits there knows.
  void on_ready(std::size_t index, bool told);
  /// Under that lock, before a look there.
  void forget_news(std::size_t index);
  void ring() const;
  [[nodiscard]] bool has_news() const;

  // epoll_ctl(2) for a file of ours, known by the program's number; 0 or -errno. No lock held.
  [[nodiscard]] long control(int operation, int fd, int known_as, const epoll_event* event);
  /// Of one part, under its file's context's lock.
  [[nodiscard]] long add(int known_as, File& file, const epoll_event& event, bool several);
  [[nodiscard]] long control_kernel(int operation, int fd, epoll_event* event);
  /// Reports kernel descriptors, without waiting; the number.
  [[nodiscard]] int harvest_kernel(epoll_event* events, int max);
  /// The program's kernel descriptors must be looked at again.
  [[nodiscard]] bool kernel_look_due(Instant now);

  /// close(2): all parts but the one that the caller closes.
  void close_parts(const Context& but);

 private:
  [[nodiscard]] long control_one(int operation, int known_as, File& file, const epoll_event* event,
                                 const std::shared_ptr<std::atomic<bool>>& shot, bool several);

  int kernel_set_;
  bool owns_kernel_set_;
  int bell_ = -1;
  std::atomic<bool> has_kernel_descriptors_{false};
  std::atomic<int> kernel_skipped_{0};
  std::atomic<Instant> kernel_last_look_{Instant{}};
};

/// epoll_pwait(2) with such a set, from no lock held.
[[nodiscard]] long wait_spread_epoll(const std::shared_ptr<EpollSpread>& set, std::span<epoll_event> events,
                                     Duration timeout, const sigset_t* mask);

}  // namespace millrace::posix
