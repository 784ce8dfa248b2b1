// getaddrinfo(3) and its kin. The C library's resolver calls the kernel past the names of this library, so
// that its questions would leave by the kernel's stack; c-ares asks with the sockets that it finds, which are
// ours. It reads /etc/hosts and /etc/resolv.conf; other sources of nsswitch.conf are not asked.
#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "calls.h"

namespace millrace::preload {

namespace {

/// One question, asked in the calling thread.
class Resolver {
 public:
  Resolver() {
    static std::once_flag once;
    std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
    if (ares_init(&channel_) != ARES_SUCCESS) channel_ = nullptr;
  }
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver() {
    if (answer_ != nullptr) ares_freeaddrinfo(answer_);
    if (channel_ != nullptr) ares_destroy(channel_);
  }

  /// ARES_SUCCESS, and answer().
  int look_up(const char* node, const char* service, const ares_addrinfo_hints& hints) {
    if (channel_ == nullptr) return ARES_ENOMEM;
    ares_getaddrinfo(
        channel_, node, service, &hints,
        [](void* self, int status, int, ares_addrinfo* answer) {
          static_cast<Resolver*>(self)->finish(status, answer);
        },
        this);
    wait();
    return status_;
  }
  [[nodiscard]] const ares_addrinfo& answer() const { return *answer_; }

  int name(const sockaddr* address, socklen_t length, int flags, std::string& node, std::string& service) {
    if (channel_ == nullptr) return ARES_ENOMEM;
    ares_getnameinfo(
        channel_, address, length, flags,
        [](void* self, int status, int, char* host, char* port) {
          auto& resolver = *static_cast<Resolver*>(self);
          if (host != nullptr) resolver.node_ = host;
          if (port != nullptr) resolver.service_ = port;
          resolver.finish(status, nullptr);
        },
        this);
    wait();
    node = node_;
    service = service_;
    return status_;
  }

 private:
  void finish(int status, ares_addrinfo* answer) {
    status_ = status;
    answer_ = answer;
    done_ = true;
  }
  void wait() {
    while (!done_) {
      std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
      std::array<pollfd, ARES_GETSOCK_MAXNUM> fds{};
      const int bits = ares_getsock(channel_, sockets.data(), static_cast<int>(sockets.size()));
      nfds_t count = 0;
      for (std::size_t i = 0; i < sockets.size(); ++i) {
        const auto at = static_cast<unsigned>(i);
        const auto word = static_cast<unsigned>(bits);
        const bool reads = ARES_GETSOCK_READABLE(word, at) != 0,
                   writes = ARES_GETSOCK_WRITABLE(word, at) != 0;
        if (!reads && !writes) continue;
        fds[count++] =
            pollfd{sockets[i], static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), 0};
      }
      timeval limit{};
      const timeval* next = ares_timeout(channel_, nullptr, &limit);
      if (count == 0 && next == nullptr) {
        status_ = ARES_ETIMEOUT;
        return;
      }
      const int ms = next != nullptr ? static_cast<int>(next->tv_sec * 1000 + next->tv_usec / 1000 + 1) : -1;
      poll(fds.data(), count, ms);
      process(fds.data(), count);
    }
  }
  void process(const pollfd* fds, nfds_t count) {
    bool any = false;
    for (nfds_t i = 0; i < count; ++i) {
      if (fds[i].revents == 0) continue;
      const bool out = (fds[i].revents & POLLOUT) != 0;
      const bool in = (fds[i].revents & ~POLLOUT) != 0;
      ares_process_fd(channel_, in ? fds[i].fd : ARES_SOCKET_BAD, out ? fds[i].fd : ARES_SOCKET_BAD);
      any = true;
    }
    if (!any) ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // timeouts
  }

  ares_channel channel_ = nullptr;
  ares_addrinfo* answer_ = nullptr;
  int status_ = ARES_ECANCELLED;
  bool done_ = false;
  std::string node_, service_;
};

int to_eai(int status) {
  switch (status) {
    case ARES_SUCCESS:
      return 0;
    case ARES_ENOMEM:
      return EAI_MEMORY;
    case ARES_ESERVICE:
      return EAI_SERVICE;
    case ARES_EBADFAMILY:
      return EAI_FAMILY;
    case ARES_EBADFLAGS:
    case ARES_EBADHINTS:
      return EAI_BADFLAGS;
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
    case ARES_ESERVFAIL:
      return EAI_AGAIN;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
      return EAI_NONAME;
    default:
      return EAI_FAIL;
  }
}

bool is_literal(const char* node) {
  in6_addr address;
  if (inet_pton(AF_INET, node, &address) == 1) return true;
  const std::string text(node, strcspn(node, "%"));
  if (inet_pton(AF_INET6, text.c_str(), &address) == 1) return true;
  in_addr old;
  return inet_aton(node, &old) != 0;
}

struct Kind {
  int type, protocol;
};
constexpr Kind kKinds[] = {{SOCK_STREAM, IPPROTO_TCP}, {SOCK_DGRAM, IPPROTO_UDP}, {SOCK_RAW, 0}};

/// Nodes as freeaddrinfo(3) of the C library frees them: the address in the node's own block.
class AddressList {
 public:
  AddressList() = default;
  AddressList(const AddressList&) = delete;
  AddressList& operator=(const AddressList&) = delete;
  ~AddressList() {
    if (first_ != nullptr) freeaddrinfo(first_);
  }
  bool add(const sockaddr* address, socklen_t length, Kind kind) {
    auto* node = static_cast<addrinfo*>(calloc(1, sizeof(addrinfo) + length));
    if (node == nullptr) return false;
    node->ai_family = address->sa_family;
    node->ai_socktype = kind.type;
    node->ai_protocol = kind.protocol;
    node->ai_addrlen = length;
    node->ai_addr = reinterpret_cast<sockaddr*>(node + 1);
    memcpy(node->ai_addr, address, length);
    *end_ = node;
    end_ = &node->ai_next;
    return true;
  }
  [[nodiscard]] addrinfo* first() const { return first_; }
  addrinfo* take() { return std::exchange(first_, nullptr); }

 private:
  addrinfo* first_ = nullptr;
  addrinfo** end_ = &first_;
};

bool add_kinds(AddressList& list, const sockaddr* address, socklen_t length, const addrinfo& hints) {
  for (const Kind kind : kKinds) {
    if (hints.ai_socktype != 0 && hints.ai_socktype != kind.type) continue;
    if (hints.ai_protocol != 0 && kind.protocol != 0 && hints.ai_protocol != kind.protocol) continue;
    if (!list.add(address, length, {kind.type, kind.protocol != 0 ? kind.protocol : hints.ai_protocol}))
      return false;
  }
  return true;
}

sockaddr_in6 mapped(const sockaddr_in& address) {
  sockaddr_in6 out{};
  out.sin6_family = AF_INET6;
  out.sin6_port = address.sin_port;
  out.sin6_addr.s6_addr[10] = out.sin6_addr.s6_addr[11] = 0xff;
  memcpy(&out.sin6_addr.s6_addr[12], &address.sin_addr, sizeof address.sin_addr);
  return out;
}

/// Our own networks are IPv4's alone: so is what AI_ADDRCONFIG asks for.
int wanted_family(const addrinfo& hints) {
  return hints.ai_family == AF_UNSPEC && (hints.ai_flags & AI_ADDRCONFIG) != 0 ? AF_INET : hints.ai_family;
}

int collect(const Resolver& resolver, const addrinfo& hints, bool map, AddressList& list) {
  for (const ares_addrinfo_node* node = resolver.answer().nodes; node != nullptr; node = node->ai_next) {
    bool added;
    if (map && node->ai_family == AF_INET) {
      sockaddr_in in;
      memcpy(&in, node->ai_addr, sizeof in);
      const sockaddr_in6 out = mapped(in);
      added = add_kinds(list, reinterpret_cast<const sockaddr*>(&out), sizeof out, hints);
    } else {
      added = add_kinds(list, node->ai_addr, node->ai_addrlen, hints);
    }
    if (!added) return EAI_MEMORY;
  }
  if (list.first() == nullptr) return EAI_NONAME;
  if ((hints.ai_flags & AI_CANONNAME) == 0) return 0;
  const ares_addrinfo& answer = resolver.answer();
  const char* canonical = answer.cnames != nullptr ? answer.cnames->name : answer.name;
  list.first()->ai_canonname = canonical != nullptr ? strdup(canonical) : nullptr;
  return 0;
}

int resolve(const char* node, const char* service, const addrinfo& hints, AddressList& list) {
  ares_addrinfo_hints asked{};
  asked.ai_family = wanted_family(hints);
  asked.ai_socktype = SOCK_STREAM;  // one node an address; the kinds are ours to add
  asked.ai_flags = (hints.ai_flags & AI_CANONNAME) != 0 ? ARES_AI_CANONNAME : 0;
  if ((hints.ai_flags & AI_NUMERICSERV) != 0) asked.ai_flags |= ARES_AI_NUMERICSERV;
  const bool v6_alone = asked.ai_family == AF_INET6;
  Resolver resolver;
  int status = resolver.look_up(node, service, asked);
  if (status == ARES_SUCCESS && resolver.answer().nodes != nullptr)
    return collect(resolver, hints, false, list);
  if (!v6_alone || (hints.ai_flags & AI_V4MAPPED) == 0) return to_eai(status == 0 ? ARES_ENODATA : status);
  asked.ai_family = AF_INET;
  Resolver again;
  status = again.look_up(node, service, asked);
  return status == ARES_SUCCESS ? collect(again, hints, true, list) : to_eai(status);
}

// --- gethostbyname(3)

/// A hostent in the caller's memory.
class HostEntry {
 public:
  HostEntry(char* buffer, std::size_t room) : at_(buffer), end_(buffer + room) {}
  /// False: too little room.
  bool fill(hostent& out, const char* name, const addrinfo* list, int family) {
    std::size_t count = 0;
    for (const addrinfo* one = list; one != nullptr; one = one->ai_next) ++count;
    auto** addresses = take<char*>(count + 1);
    auto** aliases = take<char*>(1);
    const std::size_t length = family == AF_INET ? sizeof(in_addr) : sizeof(in6_addr);
    if (addresses == nullptr || aliases == nullptr) return false;
    std::size_t index = 0;
    for (const addrinfo* one = list; one != nullptr; one = one->ai_next, ++index) {
      char* copy = take<char>(length);
      if (copy == nullptr) return false;
      const auto* raw = reinterpret_cast<const char*>(one->ai_addr);
      memcpy(copy,
             raw + (family == AF_INET ? offsetof(sockaddr_in, sin_addr) : offsetof(sockaddr_in6, sin6_addr)),
             length);
      addresses[index] = copy;
    }
    addresses[count] = aliases[0] = nullptr;
    char* copy = take<char>(strlen(name) + 1);
    if (copy == nullptr) return false;
    out = {strcpy(copy, name), aliases, family, static_cast<int>(length), addresses};
    return true;
  }

 private:
  template <typename T>
  T* take(std::size_t count) {
    const auto misaligned = reinterpret_cast<std::uintptr_t>(at_) % alignof(T);
    const std::size_t skip = misaligned != 0 ? alignof(T) - misaligned : 0;
    if (static_cast<std::size_t>(end_ - at_) < skip + count * sizeof(T)) return nullptr;
    T* taken = reinterpret_cast<T*>(at_ + skip);
    at_ += skip + count * sizeof(T);
    return taken;
  }
  char *at_, *end_;
};

int to_h_errno(int error) {
  switch (error) {
    case EAI_AGAIN:
      return TRY_AGAIN;
    case EAI_NONAME:
      return HOST_NOT_FOUND;
    default:
      return NO_RECOVERY;
  }
}

int host_by_name(const char* name, int family, hostent* out, char* buffer, size_t room, hostent** result,
                 int* error) {
  *result = nullptr;
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_CANONNAME;
  addrinfo* list = nullptr;
  const int status = getaddrinfo(name, nullptr, &hints, &list);
  if (status != 0) {
    *error = to_h_errno(status);
    return status == EAI_AGAIN ? EAGAIN : 0;
  }
  const char* canonical = list->ai_canonname != nullptr ? list->ai_canonname : name;
  const bool fits = HostEntry(buffer, room).fill(*out, canonical, list, family);
  freeaddrinfo(list);
  if (!fits) {
    *error = NETDB_INTERNAL;
    return ERANGE;
  }
  *result = out;
  return 0;
}

}  // namespace

extern "C" {

int millrace_getaddrinfo(const char* node, const char* service, const addrinfo* given,
                         addrinfo** result) asm("getaddrinfo");
int millrace_getaddrinfo(const char* node, const char* service, const addrinfo* given, addrinfo** result) {
  if (!Shim::instance().configured() || is_heir()) return next.getaddrinfo(node, service, given, result);
  addrinfo hints{};
  hints.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG;
  if (given != nullptr) hints = *given;
  if (node == nullptr || (hints.ai_flags & AI_NUMERICHOST) != 0 || is_literal(node)) {
    // Nobody is asked. In a namespace whose only address is lo's, AI_ADDRCONFIG would leave nothing.
    hints.ai_flags &= ~AI_ADDRCONFIG;
    return next.getaddrinfo(node, service, &hints, result);
  }
  if (hints.ai_family != AF_UNSPEC && hints.ai_family != AF_INET && hints.ai_family != AF_INET6)
    return EAI_FAMILY;
  AddressList list;
  const int status = resolve(node, service, hints, list);
  if (status == 0) *result = list.take();
  return status;
}

int millrace_gethostbyname2_r(const char* name, int family, hostent* out, char* buffer, size_t room,
                              hostent** result, int* error) asm("gethostbyname2_r");
int millrace_gethostbyname2_r(const char* name, int family, hostent* out, char* buffer, size_t room,
                              hostent** result, int* error) {
  return host_by_name(name, family, out, buffer, room, result, error);
}
int millrace_gethostbyname_r(const char* name, hostent* out, char* buffer, size_t room, hostent** result,
                             int* error) asm("gethostbyname_r");
int millrace_gethostbyname_r(const char* name, hostent* out, char* buffer, size_t room, hostent** result,
                             int* error) {
  return host_by_name(name, AF_INET, out, buffer, room, result, error);
}
hostent* millrace_gethostbyname2(const char* name, int family) asm("gethostbyname2");
hostent* millrace_gethostbyname2(const char* name, int family) {
  static hostent entry;
  static std::array<char, 8192> buffer;
  hostent* result = nullptr;
  host_by_name(name, family, &entry, buffer.data(), buffer.size(), &result, &h_errno);
  return result;
}
hostent* millrace_gethostbyname(const char* name) asm("gethostbyname");
hostent* millrace_gethostbyname(const char* name) {
  return millrace_gethostbyname2(name, AF_INET);
}

int millrace_getnameinfo(const sockaddr* address, socklen_t length, char* node, socklen_t node_room,
                         char* service, socklen_t service_room, int flags) asm("getnameinfo");
int millrace_getnameinfo(const sockaddr* address, socklen_t length, char* node, socklen_t node_room,
                         char* service, socklen_t service_room, int flags) {
  const bool asks = node != nullptr && node_room != 0 && (flags & NI_NUMERICHOST) == 0 &&
                    (address->sa_family == AF_INET || address->sa_family == AF_INET6);
  if (!asks || !Shim::instance().configured() || is_heir())
    return next.getnameinfo(address, length, node, node_room, service, service_room, flags);
  if (service != nullptr && service_room != 0) {
    const int status = next.getnameinfo(address, length, nullptr, 0, service, service_room, flags);
    if (status != 0) return status;
  }
  std::string host, ignored;
  Resolver resolver;
  if (resolver.name(address, length, ARES_NI_LOOKUPHOST | ARES_NI_NAMEREQD, host, ignored) != ARES_SUCCESS) {
    if ((flags & NI_NAMEREQD) != 0) return EAI_NONAME;
    return next.getnameinfo(address, length, node, node_room, nullptr, 0, flags | NI_NUMERICHOST);
  }
  if (host.size() >= node_room) return EAI_OVERFLOW;
  memcpy(node, host.c_str(), host.size() + 1);
  return 0;
}

}  // extern "C"

}  // namespace millrace::preload
