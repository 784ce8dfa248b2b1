#include "posix/epoll_spread.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <bit>
#include <new>

#include "posix/adoption.h"
#include "posix/epoll.h"
#include "posix/epoll_wait.h"
#include "posix/library.h"
#include "posix/system.h"

namespace millrace::posix {

namespace {

/// What the kernel set reports for the bell; an address that no program has.
std::uint64_t bell_mark() {
  static const char bell = 0;
  return reinterpret_cast<std::uintptr_t>(&bell);
}

}  // namespace

EpollSpread::EpollSpread(ContextGroup& contexts, int kernel_set)
    : group(contexts), kernel_set_(kernel_set), owns_kernel_set_(kernel_set < 0) {
  has_kernel_descriptors_ = !owns_kernel_set_;
}

EpollSpread::~EpollSpread() {
  if (bell_ >= 0) sys::close_own(bell_);
  if (kernel_set_ >= 0 && owns_kernel_set_) sys::close_own(kernel_set_);
}

long EpollSpread::open() {
  if (kernel_set_ < 0) {
    const long made = sys::keep_own(sys::epoll_create1(EPOLL_CLOEXEC));
    if (made < 0) return made;
    kernel_set_ = static_cast<int>(made);
  }
  const long bell = sys::keep_own(sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (bell < 0) return bell;
  bell_ = static_cast<int>(bell);
  epoll_event watch{.events = EPOLLIN | EPOLLET, .data = {.u64 = bell_mark()}};
  return sys::epoll_ctl(kernel_set_, EPOLL_CTL_ADD, bell_, &watch);
}

// --- news

void EpollSpread::ring() const {
  const std::uint64_t one = 1;
  sys::write(bell_, &one, sizeof one);
}

void EpollSpread::on_ready(std::size_t index, bool told) {
  // Before the sleepers are counted, as they count themselves before they look.
  if (!news[index].load(std::memory_order_relaxed)) news[index].store(true);
  if ((!told && sleepers.load() != 0) || always_ring.load(std::memory_order_relaxed)) ring();
}

void EpollSpread::forget_news(std::size_t index) {
  // Who sets it has the same lock.
  if (news[index].load(std::memory_order_relaxed)) news[index].store(false, std::memory_order_relaxed);
}

bool EpollSpread::has_news() const {
  for (std::uint64_t left = occupied.load(); left != 0; left &= left - 1) {
    if (news[static_cast<std::size_t>(std::countr_zero(left))].load()) return true;
  }
  return false;
}

// --- epoll_ctl(2)

long EpollSpread::add(int known_as, File& file, const epoll_event& event, bool several) {
  EpollFile* part = parts[file.context().index()];
  if (part == nullptr) return -EBADF;
  const long result = part->add(known_as, file, event);
  if (result == 0 && several) part->find(known_as, file)->several = true;
  return result;
}

long EpollSpread::control_one(int operation, int known_as, File& file, const epoll_event* event,
                              const std::shared_ptr<std::atomic<bool>>& shot, bool several) {
  EpollFile* part = parts[file.context().index()];
  if (part == nullptr) return -EBADF;
  long result = -EINVAL;
  switch (operation) {
    case EPOLL_CTL_ADD:
      result = add(known_as, file, *event, several);
      break;
    case EPOLL_CTL_MOD:
      result = part->modify(known_as, file, *event);
      break;
    case EPOLL_CTL_DEL:
      return part->remove(known_as, file);
    default:
      return result;
  }
  if (result == 0 && several) part->find(known_as, file)->shot = shot;
  return result;
}

long EpollSpread::control(int operation, int fd, int known_as, const epoll_event* event) {
  std::shared_ptr<Twins> twins;
  Context* home = nullptr;
  std::shared_ptr<std::atomic<bool>> shot;
  long result;
  {
    LockedFile locked(fd);
    if (!locked) return -EBADF;
    if (locked.context().group() != &group) return -EINVAL;
    if (locked.is_socket()) twins = locked.socket_file().twins;
    if (twins && event != nullptr && (event->events & EPOLLONESHOT) != 0)
      shot = std::make_shared<std::atomic<bool>>(true);
    home = &locked.context();
    result = control_one(operation, known_as, locked.file(), event, shot, twins != nullptr);
  }
  if (!twins || result != 0) return result;
  twins->for_each_but(*home, [&](SocketFile& part, Context&) {
    static_cast<void>(control_one(operation, known_as, part, event, shot, true));
  });
  return 0;
}

void EpollSpread::close_parts(const Context& but) {
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (&group[i] == &but) continue;
    ContextLock guard(group[i]);
    if (EpollFile* part = std::exchange(parts[i], nullptr)) part->close();
  }
}

// --- the program's kernel descriptors

long EpollSpread::control_kernel(int operation, int fd, epoll_event* event) {
  // Whoever sleeps watches the kernel set already.
  has_kernel_descriptors_.store(true, std::memory_order_relaxed);
  return sys::epoll_ctl(kernel_set_, operation, fd, event);
}

int EpollSpread::harvest_kernel(epoll_event* events, int max) {
  kernel_skipped_.store(0, std::memory_order_relaxed);
  kernel_last_look_.store(clock_now(), std::memory_order_relaxed);
  if (max <= 0) return 0;
  const int count = static_cast<int>(std::max(0L, sys::epoll_look(kernel_set_, events, max)));
  bool nested = false;
  const auto* end = std::remove_if(events, events + count, [&](const epoll_event& event) {
    const bool marked = event.data.u64 == EpollFile::mark();
    nested |= marked;
    return marked || event.data.u64 == bell_mark();
  });
  if (nested) {
    for (std::size_t i = 0; i < group.size(); ++i) {
      if ((occupied.load() >> i & 1) == 0) continue;
      ContextLock guard(group[i]);
      if (parts[i] == nullptr) continue;
      parts[i]->suspect_nested();
      if (parts[i]->has_ready()) news[i].store(true);
    }
  }
  return static_cast<int>(end - events);
}

bool EpollSpread::kernel_look_due(Instant now) {
  if (!has_kernel_descriptors_.load(std::memory_order_relaxed)) return false;
  return kernel_skipped_.fetch_add(1, std::memory_order_relaxed) >= 15 ||
         now - kernel_last_look_.load(std::memory_order_relaxed) >= Context::kKernelLook;
}

// --- epoll_pwait(2)

namespace {

class SpreadEpollWait {
 public:
  SpreadEpollWait(EpollSpread& set, std::span<epoll_event> events)
      : set_(set), events_(events), max_(static_cast<int>(events.size())) {
    // With all that is watched in one place, that is where to wait.
    const std::uint64_t occupied = set.occupied.load();
    home_ = std::has_single_bit(occupied) ? static_cast<std::size_t>(std::countr_zero(occupied))
                                          : set.group.home().index();
  }

  /// As of a set in one context (epoll_calls.cc), and then in the other parts that have news.
  int look(Instant now, bool poll, bool kernel) {
    SpreadHarvest harvest{events_.data(), max_};
    const bool due = set_.kernel_look_due(now);
    // Half of the places, so that neither kind shuts the other out.
    if (due) harvest.count = set_.harvest_kernel(events_.data(), std::max(1, max_ / 2));
    look_at_parts(harvest, now, poll);
    if (harvest.count == 0 && kernel && !due) {
      harvest.count = set_.harvest_kernel(events_.data(), max_);
      if (harvest.count < max_) look_at_parts(harvest, now, false);  // nested sets
    }
    if (harvest.count != 0 && set_.sleepers.load() != 0 && set_.has_news()) set_.ring();
    return harvest.count;
  }

  long sleep(Instant /*now*/, Instant deadline, const sigset_t* mask, WaitResult& result) {
    Context& context = set_.group[home_];
    Adoption adoption(set_.group);
    for (std::uint64_t left = elsewhere(); left != 0; left &= left - 1) {
      if (!adoption.take(static_cast<std::size_t>(std::countr_zero(left)), clock_now())) return 0;
    }
    std::vector<pollfd>& fds = adoption.fds();
    fds.push_back({set_.kernel_set(), POLLIN, 0});
    ContextLock guard(context);
    EpollFile* part = set_.parts[home_];
    if (part == nullptr) return -EBADF;
    FileHold hold(*part);
    Waiter waiter;
    WaitLink link;
    link.waiter = &waiter;
    link.mask = EPOLLIN;
    link.exclusive = true;
    part->add_waiter(link);
    const Sleeper sleeper(set_);
    // News of this part are the waiter's, if they come from now on; here are those from before.
    if (set_.has_news()) return 0;
    WaitRequest request;
    request.deadline = std::min(deadline, adoption.deadline());
    request.mask = mask;
    request.kernel_fds = fds;
    result = context.wait(waiter, request);
    if (result == WaitResult::kTimedOut && request.deadline < deadline) result = WaitResult::kReady;
    if (result == WaitResult::kKernelReady && fds.back().revents == 0) result = WaitResult::kReady;
    return part->closed() ? -EBADF : 0;
  }

  [[nodiscard]] static Instant now_after_turn() { return clock_now(); }

 private:
  void look_at_parts(SpreadHarvest& harvest, Instant now, bool poll) {
    {
      Context& context = set_.group[home_];
      ContextLock guard(context);
      if (EpollFile* part = set_.parts[home_]; part != nullptr) {
        context.attend(now);
        context.turn_for_look(now);
        take(*part, home_, harvest);
        if (harvest.count == 0 && poll) {
          context.turn(now);
          take(*part, home_, harvest);
        }
      }
    }
    look_elsewhere(harvest, now);
  }

  void look_elsewhere(SpreadHarvest& harvest, Instant now) {
    const std::uint64_t others = elsewhere();
    if (others == 0) return;
    const std::size_t count = set_.group.size();
    for (std::size_t step = 1; step < count && harvest.count < max_; ++step) {
      const std::size_t index = (home_ + step) % count;
      if ((others >> index & 1) == 0) continue;
      Context& context = set_.group[index];
      const bool attended = context.attended(now);
      if (attended && !set_.news[index].load()) continue;
      ContextLock guard(context);
      if (!attended) context.turn_for_look(now);
      if (EpollFile* part = set_.parts[index]) take(*part, index, harvest);
    }
  }

  /// The other parts that have something to watch.
  [[nodiscard]] std::uint64_t elsewhere() const {
    return set_.occupied.load() & ~(std::uint64_t{1} << home_);
  }

  void take(EpollFile& part, std::size_t index, SpreadHarvest& harvest) {
    // Half of the places where others have something, too.
    const int before = harvest.max, told = harvest.count;
    set_.forget_news(index);
    if (index == home_ && max_ > 1 && set_.has_news()) harvest.max = std::max(harvest.count + 1, max_ / 2);
    part.harvest(harvest);
    harvest.max = before;
    if (harvest.count != told) part.context().tell_events(harvest.count - told);
    if (!part.has_ready()) return;
    set_.news[index].store(true);
    if (harvest.count != 0) part.pass_on_rest();
  }

  class Sleeper {
   public:
    explicit Sleeper(EpollSpread& set) : set_(set) { ++set_.sleepers; }
    Sleeper(const Sleeper&) = delete;
    Sleeper& operator=(const Sleeper&) = delete;
    ~Sleeper() { --set_.sleepers; }

   private:
    EpollSpread& set_;
  };

  EpollSpread& set_;
  std::span<epoll_event> events_;
  int max_;
  std::size_t home_;
};

}  // namespace

long wait_spread_epoll(const std::shared_ptr<EpollSpread>& set, std::span<epoll_event> events,
                       Duration timeout, const sigset_t* mask) {
  SpreadEpollWait wait(*set, events);
  return run_epoll_wait(wait, timeout, mask);
}

}  // namespace millrace::posix
