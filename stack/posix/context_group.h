#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "posix/context.h"

namespace millrace::posix {

/// The contexts of one stack: one a queue of its device, nothing shared between them. No thread ever holds
/// the locks of two at once, but for fork(2).
///
/// What an application sees as one socket or one epoll set may have a part in each of them: the parts are
/// found through an array by the contexts' numbers, of which each place belongs to its context's lock
/// (posix/twins.h, posix/epoll_spread.h).
class ContextGroup {
 public:
  static constexpr std::uint32_t kMaxQueues = 64;

  /// A context for each device; one without a device where there is none. Throws std::exception.
  ContextGroup(const ContextConfig& config, std::vector<std::unique_ptr<NetDevice>> devices);
  ContextGroup(const ContextGroup&) = delete;
  ContextGroup& operator=(const ContextGroup&) = delete;
  ~ContextGroup();

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(contexts_.size()); }
  [[nodiscard]] Context& operator[](std::size_t index) const { return *contexts_[index]; }
  [[nodiscard]] auto begin() const { return contexts_.begin(); }
  [[nodiscard]] auto end() const { return contexts_.end(); }

  /// Of the calling thread: given in turn to threads as they ask first.
  [[nodiscard]] Context& home() {
    return contexts_.size() == 1 ? *contexts_.front() : *contexts_[home_index()];
  }
  /// For a socket with parts in all of them: no other has it.
  [[nodiscard]] std::uint64_t next_number() {
    return last_number_.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  /// Taken by whoever gives a socket a name in all of them, before any context's lock.
  [[nodiscard]] Mutex& names() { return names_; }

  // --- all of them, in order: see Context
  void before_fork();
  void after_fork_in_parent();
  void after_fork_in_child();
  [[nodiscard]] bool claim();
  [[nodiscard]] bool dormant() const { return contexts_.front()->dormant(); }
  void begin_exit();
  /// Once all sockets are closed: within the time that the configuration gives for all together.
  void drain();
  void stop_backups();

 private:
  [[nodiscard]] std::uint32_t home_index();

  const std::uint64_t id_;  ///< of no other group of this process
  std::atomic<std::uint32_t> next_home_{0};
  std::atomic<std::uint64_t> last_number_{0};
  Mutex names_;
  std::vector<std::unique_ptr<Context>> contexts_;
};

}  // namespace millrace::posix
