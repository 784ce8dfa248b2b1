#pragma once

#include <errno.h>
#include <sys/socket.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "descriptors.h"
#include "posix/context.h"

namespace millrace::preload {

/// Who serves a socket.
enum class Fate : std::uint8_t { kStack, kKernel };

/// "connect 10.0.0.0/8:5432 kernel": the first rule that fits decides.
struct Rule {
  enum class Call : std::uint8_t { kBind, kConnect, kBoth };
  Call call = Call::kBoth;
  IpPrefix prefix;
  std::uint16_t port = 0;  ///< 0: any
  Fate fate = Fate::kStack;
};

/// One rule per ';' or line. The complaint, or empty.
[[nodiscard]] std::string parse_rules(std::string_view text, std::vector<Rule>& rules);

/// The library's state in this process: whether there is a stack, and which sockets are its.
class Shim {
 public:
  [[nodiscard]] static Shim& instance();

  /// A stack was asked for (MILLRACE_DEV is set).
  [[nodiscard]] bool configured();
  /// The stack, started at the first need. Null, with errno ENETDOWN and a line on stderr once, when that
  /// fails; null without a word when none was asked for.
  [[nodiscard]] posix::Context* context();
  /// The same, if it runs already.
  [[nodiscard]] static posix::Context* running();

  /// bind() to `local`, or listen() without one.
  [[nodiscard]] Fate fate_of_bind(posix::Context& context, const Endpoint& local);
  /// connect() or sendto() to `remote`.
  [[nodiscard]] Fate fate_of_peer(posix::Context& context, const Endpoint& remote, bool stream);

  /// MILLRACE_KERNEL_LOOPBACK: wildcard listeners are there for clients of this machine, too.
  [[nodiscard]] static bool kernel_loopback();

  /// In a process that may not use the stack: would the stack be where this address is?
  [[nodiscard]] bool covers(const Endpoint& endpoint, bool local);

  /// A descriptor of the kernel's for a socket that never belongs to it: an unconnected AF_UNIX socket, which
  /// a new image would not get.
  [[nodiscard]] long placeholder();

  /// Library code of ours runs in this thread, and the descriptors that it opens are its own: while it
  /// starts, and whenever it has the lock.
  [[nodiscard]] static bool inside();

 private:
  Shim() = default;
  [[nodiscard]] bool start();
  [[nodiscard]] const Rule* rule_for(Rule::Call call, const Endpoint& endpoint) const;

  std::vector<Rule> rules_;
  std::vector<IpPrefix> addresses_;  ///< of the stack that another process has
  bool has_gateway_ = false;
  posix::Mutex mutex_;
  bool failed_ = false;
  std::atomic<int> template_{-1};
};

/// Code of the stack's that opens descriptors runs in its scope.
class Inside {
 public:
  Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside();
};

/// One line on stderr, by plain writes: "millrace: ...".
void complain(std::string_view what);

/// -errno to -1 and errno.
template <typename T>
T give(long result) {
  if (result >= 0) return static_cast<T>(result);
  errno = static_cast<int>(-result);
  return T{-1};
}

}  // namespace millrace::preload
