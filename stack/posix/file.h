#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <boost/intrusive/list.hpp>

#include "base/object_slabs.h"
#include "posix/waiter.h"
#include "socket/readiness.h"

namespace millrace::posix {

class Context;
class EpollFile;
class File;

struct EpollSetTag;
struct EpollReadyTag;

/// One descriptor's membership in one epoll set. Owned by the set.
struct EpollItem
    : LivesInSlabs,
      AutoHook,  // in the watched file's list
      boost::intrusive::list_base_hook<boost::intrusive::tag<EpollSetTag>>,
      boost::intrusive::list_base_hook<boost::intrusive::tag<EpollReadyTag>,
                                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
  using ReadyListHook =
      boost::intrusive::list_base_hook<boost::intrusive::tag<EpollReadyTag>,
                                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
  EpollFile* set = nullptr;
  File* file = nullptr;
  int fd = -1;
  std::uint32_t events = 0;  ///< as the program gave them; no event bits while a one-shot is disarmed
  std::uint64_t data = 0;
  /// One of several for the same descriptor, which has a part in other contexts, too.
  bool several = false;
  /// Of those, with EPOLLONESHOT: still armed. Shared by them, so that one of them alone reports.
  std::shared_ptr<std::atomic<bool>> shot;
};

/// What a descriptor stands for: a socket or an epoll set. Everything here belongs to the context's lock.
/// One reference is the descriptor table's, one each that of a thread which sleeps in a call on it; the last
/// one destroys it.
class File {
 public:
  enum class Kind : std::uint8_t { kSocket, kEpoll };

  File(Kind kind, Context& context) : kind_(kind), context_(context) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  virtual ~File() = default;

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] Context& context() const { return context_; }

  /// What poll(2) would report now, as POLL* and EPOLL* bits.
  [[nodiscard]] virtual std::uint32_t poll_events() const = 0;

  void acquire() { ++references_; }
  void release() {
    if (--references_ == 0) delete this;
  }
  /// The descriptor is gone; threads inside return EBADF.
  [[nodiscard]] bool closed() const { return closed_; }

  /// These events happened: tells the epoll sets and the waiters that asked for one of them. True when a
  /// waiter was woken by it.
  bool notify(std::uint32_t events);
  /// Wakes one exclusive waiter more: what woke the last one is not used up.
  void pass_on(std::uint32_t events);

  void add_waiter(WaitLink& link) { waiters_.push_back(link); }
  [[nodiscard]] AutoList<EpollItem>& epoll_items() { return epoll_items_; }

  bool close_on_exec = false;

 protected:
  /// Marks it closed, takes it out of all epoll sets and wakes everybody inside.
  void detach();

 private:
  Kind kind_;
  bool closed_ = false;
  std::uint32_t references_ = 1;
  Context& context_;
  AutoList<EpollItem> epoll_items_;
  AutoList<WaitLink> waiters_;
};

/// A reference for the time of a sleep.
class FileHold {
 public:
  explicit FileHold(File& file) : file_(file) { file_.acquire(); }
  FileHold(const FileHold&) = delete;
  FileHold& operator=(const FileHold&) = delete;
  ~FileHold() { file_.release(); }

 private:
  File& file_;
};

}  // namespace millrace::posix
