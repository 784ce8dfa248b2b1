#include "posix/file.h"

#include <sys/epoll.h>

#include <utility>

#include "posix/context.h"
#include "posix/epoll.h"

namespace millrace::posix {

static_assert(kReadable == EPOLLIN && kPriority == EPOLLPRI && kWritable == EPOLLOUT && kError == EPOLLERR &&
              kHangup == EPOLLHUP && kReadHangup == EPOLLRDHUP);

bool File::notify(std::uint32_t events) {
  bool exclusive_done = false;
  for (EpollItem& item : epoll_items_) {
    if ((item.events & events) == 0) continue;
    const bool exclusive = (item.events & EPOLLEXCLUSIVE) != 0;
    if (exclusive && exclusive_done) continue;
    if (item.set->item_ready(item) && exclusive) exclusive_done = true;
  }
  bool woken = false, one_woken = false;
  for (WaitLink& link : waiters_) {
    if ((link.mask & events) == 0 || link.waiter->ready) continue;
    if (link.exclusive && std::exchange(one_woken, true)) continue;
    context_.wake(*link.waiter);
    woken = true;
  }
  return woken;
}

void File::pass_on(std::uint32_t events) {
  for (WaitLink& link : waiters_) {
    if (!link.exclusive || (link.mask & events) == 0 || link.waiter->ready) continue;
    context_.wake(*link.waiter);
    return;
  }
}

void File::detach() {
  closed_ = true;
  while (!epoll_items_.empty()) epoll_items_.front().set->forget(epoll_items_.front());
  for (WaitLink& link : waiters_) context_.wake(*link.waiter);
}

}  // namespace millrace::posix
