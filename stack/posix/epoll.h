#pragma once

#include <sys/epoll.h>

#include <memory>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "base/apart.h"
#include "posix/file.h"

namespace millrace::posix {

class EpollSpread;

/// What one call has reported from parts of a set (see EpollSpread): a descriptor that is ready in several of
/// them is reported once.
struct SpreadHarvest {
  epoll_event* events;
  int max;
  int count = 0;
  struct Reported {
    int fd, index;
  };
  std::vector<Reported> several = {};
};

/// An epoll set: the stack's sockets in lists of its own, the program's kernel descriptors in a kernel epoll
/// set inside.
///
/// A socket's item is on the ready list when an event it asked for happened since it was last reported;
/// whether it is still so is asked when it is reported. A level-triggered item goes back to the list's end
/// when it was reported.
///
/// Nested sets: the outer one has an item for the inner one, and its kernel set watches the inner kernel set
/// under a mark of its own, which is never reported but sends the outer one to its nested items.
///
///     outer  [ items: socket, inner ]   kernel set { pipe, (mark) inner's kernel set }
///     inner  [ items: socket ]          kernel set { eventfd }
class alignas(kApart) EpollFile final : public File {
 public:
  /// `kernel_set`: a kernel epoll descriptor of the program's that goes on being its own; -1: one is made
  /// when it is needed.
  explicit EpollFile(Context& context, int kernel_set = -1)
      : File(Kind::kEpoll, context), kernel_set_(kernel_set), owns_kernel_set_(kernel_set < 0) {}
  /// One part of a set in several contexts.
  EpollFile(Context& context, std::shared_ptr<EpollSpread> spread);
  ~EpollFile() override;
  [[nodiscard]] const std::shared_ptr<EpollSpread>& spread() const { return spread_; }

  // epoll_ctl(2) for a socket or another set, known by its file and the program's number; 0 or -errno.
  [[nodiscard]] long add(int fd, File& file, const epoll_event& event);
  [[nodiscard]] long modify(int fd, File& file, const epoll_event& event);
  /// Null: it is not in the set.
  [[nodiscard]] EpollItem* find(int fd, File& file);
  [[nodiscard]] long remove(int fd, File& file);
  /// epoll_ctl(2) for a kernel descriptor; 0 or -errno.
  [[nodiscard]] long control_kernel(int operation, int fd, epoll_event* event);

  /// Reports up to `max` of the sockets that are ready; the number.
  [[nodiscard]] int harvest(epoll_event* events, int max);
  void harvest(SpreadHarvest& harvest);
  [[nodiscard]] bool has_ready() const { return !ready_.empty(); }
  /// Something may have happened to nested sets, which the kernel told of.
  void suspect_nested();
  /// An address that no program has: what the kernel set reports for a nested set's, and for a bell.
  [[nodiscard]] static std::uint64_t mark();
  /// Reports kernel descriptors, without waiting; the number.
  [[nodiscard]] int harvest_kernel(epoll_event* events, int max);
  /// Kernel descriptors must be looked at again: 50 µs or 16 waits have gone.
  [[nodiscard]] bool kernel_look_due(Instant now);
  void kernel_looked(Instant now) {
    kernel_last_look_ = now;
    kernel_skipped_ = 0;
  }
  /// The kernel's epoll descriptor, -1 while there was no kernel descriptor in the set.
  [[nodiscard]] int kernel_set() const { return kernel_set_; }

  /// From the file that `item` watches. True when a thread waits for this set.
  bool item_ready(EpollItem& item);
  /// The item's file is closed.
  void forget(EpollItem& item);
  /// `item` watches a socket that turned out to be the kernel's, open as descriptor `fd`: goes on watching
  /// there.
  void move_to_kernel(EpollItem& item, int fd);
  /// Somebody else may take what is left.
  void pass_on_rest() {
    if (!ready_.empty()) pass_on(EPOLLIN);
  }

  [[nodiscard]] std::uint32_t poll_events() const override;
  /// close(2); consumes the table's reference.
  void close();

 private:
  using SetHook = boost::intrusive::list_base_hook<boost::intrusive::tag<EpollSetTag>>;
  using Items = boost::intrusive::list<EpollItem, boost::intrusive::base_hook<SetHook>>;
  using ReadyItems = boost::intrusive::list<EpollItem, boost::intrusive::base_hook<EpollItem::ReadyListHook>,
                                            boost::intrusive::constant_time_size<false>>;

  /// The next ready item that still is; null: none. `events`: what it is ready for.
  [[nodiscard]] EpollItem* next_ready(std::uint32_t& events);
  /// It was reported: disarms it, or puts it on `again`.
  static void reported(EpollItem& item, ReadyItems& again);
  void destroy(EpollItem& item);
  [[nodiscard]] long make_kernel_set();
  /// Prepares the item of a nested set; 0 or -errno.
  [[nodiscard]] long nest(EpollFile& inner);
  [[nodiscard]] static int depth_below(const EpollFile& set, const EpollFile& sought);

  Items items_;
  ReadyItems ready_;
  int kernel_set_;
  bool owns_kernel_set_;
  std::shared_ptr<EpollSpread> spread_;
  int kernel_skipped_ = 0;
  Instant kernel_last_look_{};
};

}  // namespace millrace::posix
