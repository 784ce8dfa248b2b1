#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "posix/context.h"
#include "posix/file.h"
#include "posix/mutex.h"
#include "posix/signals.h"

namespace millrace::posix {

inline constexpr int kFirstFd = 1 << 30;

/// The process's Millrace descriptors: numbers from 2^30 up, the lowest free one first.
///
/// Slots never move and are never freed, so that a look-up needs no lock of the table's: it reads the slot's
/// context, takes that context's lock, and finds the file or nothing. A slot's file belongs to its context's
/// lock; which numbers are taken belongs to the table's own lock (taken within a context's, never around it).
class FdTable {
 public:
  static constexpr std::uint32_t kMaxLimit = 1u << 24;

  explicit FdTable(std::uint32_t limit) : limit_(limit) {}
  FdTable(const FdTable&) = delete;
  FdTable& operator=(const FdTable&) = delete;
  ~FdTable();

  void set_limit(std::uint32_t limit) { limit_ = limit; }

  /// The lowest free number, reserved: -EMFILE, -ENOMEM.
  [[nodiscard]] int reserve();
  /// Under the file's context's lock: the descriptor now stands for it.
  void install(int fd, File& file);
  /// Under the lock of the context it was in: the descriptor stands for a file of another one from now on.
  void move(int fd, File& file);
  /// Under the context's lock: the descriptor stands for nothing and may be given out again.
  void remove(int fd);
  /// Gives a reserved number back that nothing was installed for.
  void release(int fd);

  /// Around fork(2), so that the child's copy is a whole one.
  void before_fork() { lock(); }
  void after_fork() { unlock(); }

  struct Slot {
    std::atomic<Context*> context{nullptr};
    File* file = nullptr;
    std::atomic<int> known_as{-1};  ///< the program's own number for it, where that is another
  };
  /// Null for a number that never was a descriptor.
  [[nodiscard]] Slot* slot(int fd) {
    const auto index = static_cast<std::uint32_t>(fd) - static_cast<std::uint32_t>(kFirstFd);
    if (index >= kMaxLimit) return nullptr;
    Slot* chunk = chunks_[index / kChunk].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : chunk + index % kChunk;
  }
  /// Calls visit(fd, context) for every descriptor in use at the moment of its turn.
  template <typename Visitor>
  void for_each(Visitor&& visit) {
    for (std::uint32_t i = 0; i < chunks_.size(); ++i) {
      Slot* chunk = chunks_[i].load(std::memory_order_acquire);
      if (chunk == nullptr) return;
      for (std::uint32_t k = 0; k < kChunk; ++k) {
        if (Context* context = chunk[k].context.load(std::memory_order_acquire))
          visit(kFirstFd + static_cast<int>(i * kChunk + k), *context);
      }
    }
  }

 private:
  static constexpr std::uint32_t kChunk = 1024;
  /// A tree of 64-ary words, a set bit meaning "full": the lowest free number is four steps away.
  static constexpr unsigned kLevels = 4;

  [[nodiscard]] bool grow();
  void lock() {
    signal_gate.enter();
    mutex_.lock();
  }
  void unlock() {
    mutex_.unlock();
    signal_gate.leave();
  }

  Mutex mutex_;
  std::uint32_t limit_;
  std::uint32_t capacity_ = 0;
  std::array<std::vector<std::uint64_t>, kLevels> full_;
  std::array<std::atomic<Slot*>, kMaxLimit / kChunk> chunks_{};
};

/// A number for a descriptor to be: given back at the end of the scope, also when the thread is cancelled,
/// unless it was used.
class ReservedFd {
 public:
  explicit ReservedFd(FdTable& fds) : fds_(fds), fd_(fds.reserve()) {}
  ReservedFd(const ReservedFd&) = delete;
  ReservedFd& operator=(const ReservedFd&) = delete;
  ~ReservedFd() {
    if (fd_ >= 0) fds_.release(fd_);
  }
  /// Or -errno.
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int use() { return std::exchange(fd_, -1); }

 private:
  FdTable& fds_;
  int fd_;
};

}  // namespace millrace::posix
