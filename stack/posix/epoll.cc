#include "posix/epoll.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <new>

#include "posix/context.h"
#include "posix/epoll_spread.h"
#include "posix/system.h"

namespace millrace::posix {

namespace {

constexpr std::uint32_t kPrivateBits = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP;
/// epoll_ctl(2): what may stand beside EPOLLEXCLUSIVE.
constexpr std::uint32_t kExclusiveOk =
    EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
/// epoll(7): as deep as sets may be nested.
constexpr int kMaxNesting = 5;

/// What a kernel set reports for the kernel set of a nested set; an address that no program has.
const char nested_mark = 0;

}  // namespace

std::uint64_t EpollFile::mark() {
  return reinterpret_cast<std::uintptr_t>(&nested_mark);
}

EpollFile::EpollFile(Context& context, std::shared_ptr<EpollSpread> spread)
    : File(Kind::kEpoll, context),
      kernel_set_(spread->kernel_set()),
      owns_kernel_set_(false),
      spread_(std::move(spread)) {}

EpollFile::~EpollFile() {
  if (kernel_set_ >= 0 && owns_kernel_set_) sys::close_own(kernel_set_);
}

EpollItem* EpollFile::find(int fd, File& file) {
  for (EpollItem& item : file.epoll_items()) {
    if (item.set == this && item.fd == fd) return &item;
  }
  return nullptr;
}

long EpollFile::make_kernel_set() {
  if (kernel_set_ >= 0) return 0;
  const long made = sys::keep_own(sys::epoll_create1(EPOLL_CLOEXEC));
  if (made < 0) return made;
  kernel_set_ = static_cast<int>(made);
  return 0;
}

int EpollFile::depth_below(const EpollFile& set, const EpollFile& sought) {
  int deepest = 0;
  for (const EpollItem& item : set.items_) {
    if (item.file->kind() != Kind::kEpoll) continue;
    const auto& inner = static_cast<const EpollFile&>(*item.file);
    if (&inner == &sought) return kMaxNesting;
    deepest = std::max(deepest, 1 + depth_below(inner, sought));
    if (deepest >= kMaxNesting) break;
  }
  return deepest;
}

long EpollFile::nest(EpollFile& inner) {
  if (depth_below(inner, *this) >= kMaxNesting - 1) return -ELOOP;
  if (inner.spread_) inner.spread_->always_ring = true;
  if (const long wrong = make_kernel_set(); wrong != 0) return wrong;
  if (const long wrong = inner.make_kernel_set(); wrong != 0) return wrong;
  epoll_event watch{.events = EPOLLIN | EPOLLET, .data = {.u64 = mark()}};
  const long watched = sys::epoll_ctl(kernel_set_, EPOLL_CTL_ADD, inner.kernel_set_, &watch);
  return watched == -EEXIST ? 0 : watched;
}

long EpollFile::add(int fd, File& file, const epoll_event& event) {
  if (&file == this || &file.context() != &context()) return -EINVAL;
  const bool set = file.kind() == File::Kind::kEpoll;
  if ((event.events & EPOLLEXCLUSIVE) != 0 && (set || (event.events & ~kExclusiveOk) != 0)) return -EINVAL;
  if (find(fd, file) != nullptr) return -EEXIST;
  if (set) {
    if (const long wrong = nest(static_cast<EpollFile&>(file)); wrong != 0) return wrong;
  }
  auto* item = new (context().stack().slabs(), std::nothrow) EpollItem;
  if (item == nullptr) return -ENOMEM;
  item->set = this;
  item->file = &file;
  item->fd = fd;
  item->events = event.events | EPOLLERR | EPOLLHUP;
  item->data = event.data.u64;
  file.epoll_items().push_back(*item);
  items_.push_back(*item);
  if (spread_) spread_->occupied.fetch_or(std::uint64_t{1} << context().index());
  if ((file.poll_events() & item->events) != 0) item_ready(*item);
  return 0;
}

long EpollFile::modify(int fd, File& file, const epoll_event& event) {
  if ((event.events & EPOLLEXCLUSIVE) != 0) return -EINVAL;
  EpollItem* item = find(fd, file);
  if (item == nullptr) return -ENOENT;
  if ((item->events & EPOLLEXCLUSIVE) != 0) return -EINVAL;
  item->events = event.events | EPOLLERR | EPOLLHUP;
  item->data = event.data.u64;
  if ((file.poll_events() & item->events) != 0) item_ready(*item);
  return 0;
}

long EpollFile::remove(int fd, File& file) {
  EpollItem* item = find(fd, file);
  if (item == nullptr) return -ENOENT;
  destroy(*item);
  return 0;
}

long EpollFile::control_kernel(int operation, int fd, epoll_event* event) {
  if (const long wrong = make_kernel_set(); wrong != 0) return wrong;
  if (const long wrong = sys::epoll_ctl(kernel_set_, operation, fd, event); wrong != 0) return wrong;
  // A sleeper that came before the kernel set existed does not watch it.
  if (operation != EPOLL_CTL_DEL) notify(EPOLLIN);
  return 0;
}

bool EpollFile::item_ready(EpollItem& item) {
  if (!item.EpollItem::ReadyListHook::is_linked()) ready_.push_back(item);
  const bool told = notify(EPOLLIN);
  if (spread_) [[unlikely]]
    spread_->on_ready(context().index(), told);
  return told;
}

void EpollFile::forget(EpollItem& item) {
  destroy(item);
}

void EpollFile::destroy(EpollItem& item) {
  if (item.file->kind() == Kind::kEpoll) {
    // The kernel forgets a closed set by itself.
    sys::epoll_ctl(kernel_set_, EPOLL_CTL_DEL, static_cast<EpollFile&>(*item.file).kernel_set_, nullptr);
  }
  items_.erase(items_.iterator_to(item));
  delete &item;  // unlinks itself from the file and the ready list
  if (spread_ && items_.empty()) spread_->occupied.fetch_and(~(std::uint64_t{1} << context().index()));
}

void EpollFile::move_to_kernel(EpollItem& item, int fd) {
  epoll_event event{.events = item.events, .data = {.u64 = item.data}};
  destroy(item);
  if (spread_) {
    static_cast<void>(spread_->control_kernel(EPOLL_CTL_ADD, fd, &event));
    return;
  }
  static_cast<void>(control_kernel(EPOLL_CTL_ADD, fd, &event));
}

EpollItem* EpollFile::next_ready(std::uint32_t& events) {
  while (!ready_.empty()) {
    EpollItem& item = ready_.front();
    ready_.pop_front();
    events = item.file->poll_events() & item.events;
    if (events != 0) return &item;
  }
  return nullptr;
}

void EpollFile::reported(EpollItem& item, ReadyItems& again) {
  if ((item.events & EPOLLONESHOT) != 0) {
    item.events &= kPrivateBits;
  } else if ((item.events & EPOLLET) == 0) {
    again.push_back(item);
  }
}

int EpollFile::harvest(epoll_event* events, int max) {
  int count = 0;
  ReadyItems again;
  std::uint32_t now;
  while (count < max) {
    EpollItem* item = next_ready(now);
    if (item == nullptr) break;
    events[count].events = now;
    events[count].data.u64 = item->data;
    ++count;
    reported(*item, again);
  }
  ready_.splice(ready_.end(), again);
  return count;
}

void EpollFile::harvest(SpreadHarvest& harvest) {
  ReadyItems again;
  std::uint32_t now;
  while (harvest.count < harvest.max) {
    EpollItem* item = next_ready(now);
    if (item == nullptr) break;
    if (item->several) {
      if (item->shot && (item->events & EPOLLONESHOT) != 0 && !item->shot->exchange(false)) {
        item->events &= kPrivateBits;  // another part has reported it
        continue;
      }
      const auto before =
          std::find_if(harvest.several.begin(), harvest.several.end(),
                       [item](const SpreadHarvest::Reported& one) { return one.fd == item->fd; });
      if (before != harvest.several.end()) {
        harvest.events[before->index].events |= now;
        reported(*item, again);
        continue;
      }
      harvest.several.push_back({item->fd, harvest.count});
    }
    harvest.events[harvest.count].events = now;
    harvest.events[harvest.count].data.u64 = item->data;
    ++harvest.count;
    reported(*item, again);
  }
  ready_.splice(ready_.end(), again);
}

void EpollFile::suspect_nested() {
  for (EpollItem& item : items_) {
    if (item.file->kind() == Kind::kEpoll && !item.EpollItem::ReadyListHook::is_linked())
      ready_.push_back(item);
  }
}

int EpollFile::harvest_kernel(epoll_event* events, int max) {
  if (kernel_set_ < 0 || max <= 0) return 0;
  const int count = static_cast<int>(std::max(0L, sys::epoll_look(kernel_set_, events, max)));
  bool nested = false;
  const auto* end = std::remove_if(events, events + count, [&](const epoll_event& event) {
    const bool marked = event.data.u64 == mark();
    nested |= marked;
    return marked;
  });
  if (nested) suspect_nested();
  return static_cast<int>(end - events);
}

bool EpollFile::kernel_look_due(Instant now) {
  if (kernel_set_ < 0) return false;
  return ++kernel_skipped_ >= 16 || now - kernel_last_look_ >= Context::kKernelLook;
}

std::uint32_t EpollFile::poll_events() const {
  for (const EpollItem& item : ready_) {
    if ((item.file->poll_events() & item.events) != 0) return EPOLLIN | EPOLLRDNORM;
  }
  if (spread_ && spread_->has_news()) return EPOLLIN | EPOLLRDNORM;
  if (kernel_set_ >= 0) {
    pollfd fd{kernel_set_, POLLIN, 0};
    if (sys::poll_now(&fd, 1) > 0) return EPOLLIN | EPOLLRDNORM;
  }
  return 0;
}

void EpollFile::close() {
  detach();
  while (!items_.empty()) destroy(items_.front());
  release();
}

}  // namespace millrace::posix
