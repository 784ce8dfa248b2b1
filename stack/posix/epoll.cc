#include "posix/epoll.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <new>

#include "posix/context.h"

namespace millrace::posix {

namespace {

constexpr std::uint32_t kPrivateBits = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP;
/// epoll_ctl(2): what may stand beside EPOLLEXCLUSIVE.
constexpr std::uint32_t kExclusiveOk =
    EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

}  // namespace

EpollFile::~EpollFile() {
  if (kernel_set_ >= 0) ::close(kernel_set_);
}

EpollItem* EpollFile::find(File& file) {
  for (EpollItem& item : file.epoll_items()) {
    if (item.set == this) return &item;
  }
  return nullptr;
}

long EpollFile::add(int fd, File& file, const epoll_event& event) {
  if (file.kind() == File::Kind::kEpoll || &file.context() != &context()) return -EINVAL;
  if ((event.events & EPOLLEXCLUSIVE) != 0 && (event.events & ~kExclusiveOk) != 0) return -EINVAL;
  if (find(file) != nullptr) return -EEXIST;
  auto* item = new (std::nothrow) EpollItem;
  if (item == nullptr) return -ENOMEM;
  item->set = this;
  item->file = &file;
  item->fd = fd;
  item->events = event.events | EPOLLERR | EPOLLHUP;
  item->data = event.data.u64;
  file.epoll_items().push_back(*item);
  items_.push_back(*item);
  if ((file.poll_events() & item->events) != 0) item_ready(*item);
  return 0;
}

long EpollFile::modify(File& file, const epoll_event& event) {
  if ((event.events & EPOLLEXCLUSIVE) != 0) return -EINVAL;
  EpollItem* item = find(file);
  if (item == nullptr) return -ENOENT;
  if ((item->events & EPOLLEXCLUSIVE) != 0) return -EINVAL;
  item->events = event.events | EPOLLERR | EPOLLHUP;
  item->data = event.data.u64;
  if ((file.poll_events() & item->events) != 0) item_ready(*item);
  return 0;
}

long EpollFile::remove(File& file) {
  EpollItem* item = find(file);
  if (item == nullptr) return -ENOENT;
  destroy(*item);
  return 0;
}

long EpollFile::control_kernel(int operation, int fd, epoll_event* event) {
  if (kernel_set_ < 0) {
    kernel_set_ = epoll_create1(EPOLL_CLOEXEC);
    if (kernel_set_ < 0) return -errno;
  }
  if (epoll_ctl(kernel_set_, operation, fd, event) != 0) return -errno;
  // A sleeper that came before the kernel set existed does not watch it.
  if (operation != EPOLL_CTL_DEL) notify(EPOLLIN);
  return 0;
}

bool EpollFile::item_ready(EpollItem& item) {
  if (!item.EpollItem::ReadyListHook::is_linked()) ready_.push_back(item);
  return notify(EPOLLIN);
}

void EpollFile::forget(EpollItem& item) {
  destroy(item);
}

void EpollFile::destroy(EpollItem& item) {
  items_.erase(items_.iterator_to(item));
  delete &item;  // unlinks itself from the file and the ready list
}

int EpollFile::harvest(epoll_event* events, int max) {
  int count = 0;
  ReadyItems again;
  while (count < max && !ready_.empty()) {
    EpollItem& item = ready_.front();
    ready_.pop_front();
    const std::uint32_t now = item.file->poll_events() & item.events;
    if (now == 0) continue;
    events[count].events = now;
    events[count].data.u64 = item.data;
    ++count;
    if ((item.events & EPOLLONESHOT) != 0) {
      item.events &= kPrivateBits;
    } else if ((item.events & EPOLLET) == 0) {
      again.push_back(item);
    }
  }
  ready_.splice(ready_.end(), again);
  return count;
}

int EpollFile::harvest_kernel(epoll_event* events, int max) {
  if (kernel_set_ < 0 || max <= 0) return 0;
  const int count = epoll_wait(kernel_set_, events, max, 0);
  return count < 0 ? 0 : count;
}

bool EpollFile::kernel_look_due(Instant now) {
  if (kernel_set_ < 0) return false;
  return ++kernel_skipped_ >= 16 || now - kernel_last_look_ >= Context::kKernelLook;
}

std::uint32_t EpollFile::poll_events() const {
  for (const EpollItem& item : ready_) {
    if ((item.file->poll_events() & item.events) != 0) return EPOLLIN | EPOLLRDNORM;
  }
  if (kernel_set_ >= 0) {
    pollfd fd{kernel_set_, POLLIN, 0};
    if (::poll(&fd, 1, 0) > 0) return EPOLLIN | EPOLLRDNORM;
  }
  return 0;
}

void EpollFile::close() {
  detach();
  while (!items_.empty()) destroy(items_.front());
  release();
}

}  // namespace millrace::posix
