#include "posix/twins.h"

#include <errno.h>
#include <sys/epoll.h>

#include <new>
#include <utility>
#include <vector>

#include "posix/calls.h"
#include "posix/epoll.h"
#include "posix/epoll_spread.h"
#include "posix/error.h"
#include "posix/library.h"
#include "posix/spread_wait.h"

namespace millrace::posix {

namespace {

/// Ports that are tried when one is chosen for the application.
constexpr int kAttempts = 16;

class NamesLock {
 public:
  explicit NamesLock(ContextGroup& group) : names_(group.names()) { names_.lock(); }
  NamesLock(const NamesLock&) = delete;
  NamesLock& operator=(const NamesLock&) = delete;
  ~NamesLock() { names_.unlock(); }

 private:
  Mutex& names_;
};

/// What a program asked of its socket, for the part of it elsewhere.
void copy_settings(const SocketFile& from, SocketFile& to) {
  to.settings = from.settings;
  to.nonblocking = from.nonblocking;
  to.close_on_exec = from.close_on_exec;
  to.cookie = from.cookie;
}

/// Parts in all other contexts, without a name; under the lock of the file's. Null: no memory.
std::shared_ptr<Twins> make_parts(const SocketFile& file) {
  ContextGroup& group = *file.context().group();
  auto twins = std::make_shared<Twins>(group);
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (&group[i] == &file.context()) continue;
    auto part = std::make_unique<SocketFile>(group[i], group[i].stack().create_twin(file.socket(), true));
    copy_settings(file, *part);
    part->twins = twins;
    twins->files[i] = part.release();
  }
  return twins;
}

/// The parts' names. The first error.
Error name_parts(Twins& twins, const Context& but, const Endpoint& local, const SocketAction& then) {
  Error error = Error::kNone;
  twins.for_each_but(but, [&](SocketFile& part, Context& context) {
    if (error != Error::kNone) return;
    error = part.socket().bind(local).error();
    if (error == Error::kNone) error = then(part.socket(), clock_now()).error();
    twins.watch(context.index());
  });
  return error;
}

/// The sets that watch a file, with what they asked for.
struct Registration {
  std::shared_ptr<EpollSpread> set;
  int fd;
  epoll_event event;
};
std::vector<Registration> registrations_of(File& file) {
  std::vector<Registration> all;
  for (EpollItem& item : file.epoll_items()) {
    item.several = true;
    all.push_back({item.set->spread(), item.fd, {.events = item.events, .data = {.u64 = item.data}}});
  }
  return all;
}

enum class Step : std::uint8_t { kDone, kAgain };

/// One attempt; `result`: 0 or -errno, when it is done.
Step try_to_spread(int fd, const SocketAction& act, const SocketAction& then, long& result) {
  std::shared_ptr<Twins> twins;
  Endpoint local;
  Context* home = nullptr;
  bool named_before = false;
  const auto done = [&result](long value) {
    result = value;
    return Step::kDone;
  };
  {
    LockedFile locked(fd);
    if (!locked) return done(-EBADF);
    SocketFile& file = locked.socket_file();
    home = &locked.context();
    if (file.twins) return done(0);
    twins = make_parts(file);
    named_before = file.socket().local_endpoint().port != 0;
    result = failure(act(file.socket(), clock_now()).error());
    local = file.socket().local_endpoint();
  }
  if (result != 0 || local.port == 0) {
    close_twins(twins, *home);
    return Step::kDone;
  }
  const Error wrong = name_parts(*twins, *home, local, then);
  std::vector<Registration> registered;
  {
    LockedFile locked(fd);
    if (locked && &locked.context() == home && locked.is_socket() && !locked.socket_file().twins) {
      SocketFile& file = locked.socket_file();
      if (wrong != Error::kNone && !named_before) {
        file.replace_socket(home->stack().create_twin(file.socket(), false));
      } else if (wrong == Error::kNone) {
        file.twins = twins;
        twins->files[home->index()] = &file;
        twins->fd.store(fd, std::memory_order_relaxed);
        twins->watch(home->index());
        registered = registrations_of(file);
      }
    } else if (wrong == Error::kNone) {
      result = -EBADF;
    }
  }
  if (wrong != Error::kNone || result != 0) {
    close_twins(twins, *home);
    if (result != 0) return Step::kDone;
    result = failure(wrong);
    return wrong == Error::kAddressInUse && !named_before ? Step::kAgain : Step::kDone;
  }
  for (Registration& one : registered) {
    twins->for_each_but(*home, [&](SocketFile& part, Context&) {
      static_cast<void>(one.set->add(one.fd, part, one.event, true));
    });
  }
  return Step::kDone;
}

/// The descriptor now stands for the part in another context.
long move_socket(int fd, const std::shared_ptr<Twins>& twins, Context& from, Context& to) {
  SocketFile* target;
  bool nonblocking = false, close_on_exec = false;
  {
    LockedFile locked(fd);
    if (!locked || &locked.context() != &from) return -EBADF;
    nonblocking = locked.socket_file().nonblocking;
    close_on_exec = locked.file().close_on_exec;
  }
  {
    ContextLock guard(to);
    target = twins->files[to.index()];
    if (target == nullptr) return -EBADF;
    target->nonblocking = nonblocking;
    target->close_on_exec = close_on_exec;
  }
  LockedFile locked(fd);
  if (!locked || &locked.context() != &from) return -EBADF;
  Library::instance().fds().move(fd, *target);
  return 0;
}

}  // namespace

void Twins::watch(std::size_t index) {
  Flag& flag = flags_[index];
  flag.link.waiter = &flag.waiter;
  flag.link.mask = kReadable | kReadHangup | kError | kHangup;
  files[index]->add_waiter(flag.link);
  flag.waiter.ready = true;
}

long Twins::wait_for(Ready mask, bool exclusive, Instant deadline) {
  SpreadWait wait(group);
  bool ready = false;
  std::size_t open = 0;
  for_each([&](SocketFile& file, Context&) {
    wait.watch(file, mask, exclusive);
    ready |= (file.socket().readiness() & mask) != 0;
    ++open;
  });
  if (open != group.size()) return -EBADF;
  if (ready) return 0;
  WaitRequest request;
  request.deadline = deadline;
  request.restartable = deadline == kNever;
  return error_of(wait.wait(request));
}

void Twins::unwatch(std::size_t index) {
  if (flags_[index].link.is_linked()) flags_[index].link.unlink();
}

long spread_socket(int fd, const SocketAction& act, const SocketAction& then) {
  ContextGroup* group = Library::instance().group_of(fd);
  if (group == nullptr) return -EBADF;
  NamesLock names(*group);
  long result = 0;
  for (int i = 0; i < kAttempts; ++i) {
    if (try_to_spread(fd, act, then, result) == Step::kDone) break;
  }
  return result;
}

void close_twins(const std::shared_ptr<Twins>& twins, const Context& but) {
  twins->for_each_but(but, [&](SocketFile& part, Context& context) {
    twins->files[context.index()] = nullptr;
    twins->unwatch(context.index());
    part.close(clock_now(), false);
  });
}

void drop_twins(int fd) {
  std::shared_ptr<Twins> twins;
  Context* home = nullptr;
  {
    LockedFile locked(fd);
    if (!locked || !locked.is_socket()) return;
    home = &locked.context();
    twins = std::exchange(locked.socket_file().twins, nullptr);
    if (!twins) return;
    twins->unwatch(home->index());
    twins->files[home->index()] = nullptr;
  }
  close_twins(twins, *home);
}

long come_home(int fd, const Endpoint& remote) {
  const auto nothing = [](Socket&, Instant) { return Result<void>{}; };
  std::shared_ptr<Twins> twins;
  Context* own = nullptr;
  std::uint32_t home = 0;
  bool stream = false, here = false;
  {
    LockedFile locked(fd);
    if (!locked) return -EBADF;
    SocketFile& file = locked.socket_file();
    own = &locked.context();
    twins = file.twins;
    stream = file.is_stream();
    home = own->index();
    Endpoint local = file.socket().local_endpoint();
    if (stream && (local.port == 0 || file.socket().is_listening() || file.socket().remote_endpoint()))
      return 0;
    const Result<ip::RouteResult> route = own->stack().ip().route(remote.address, clock_now());
    if (!route) return 0;
    here = route->interface == nullptr;
    if (!here && local.port != 0 && !route->broadcast) {
      if (local.address.is_unspecified()) local.address = route->source;
      home = route->home_queue(local, remote);
    }
  }
  if (!stream) {
    // The answers of one peer come in by one queue, but what we send to ourselves stays where it was sent.
    if (twins || (!here && home == own->index())) return 0;
    const auto bind_any = [](Socket& socket, Instant) {
      if (socket.local_endpoint().port != 0) return Result<void>{};
      return socket.bind({socket.local_endpoint().address, 0});
    };
    return spread_socket(fd, bind_any, nothing);
  }
  if (home != own->index()) {
    if (!twins) {
      if (const long wrong = spread_socket(fd, nothing, nothing); wrong != 0) return wrong;
      LockedFile locked(fd);
      if (!locked || !locked.is_socket() || !locked.socket_file().twins) return -EBADF;
      twins = locked.socket_file().twins;
    }
    if (const long wrong = move_socket(fd, twins, *own, twins->group[home]); wrong != 0) return wrong;
  }
  drop_twins(fd);
  return 0;
}

}  // namespace millrace::posix
