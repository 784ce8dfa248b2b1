#include "shim.h"

#include <fcntl.h>
#include <stdlib.h>

#include <string>

#include "calls.h"
#include "posix/clock.h"
#include "posix/library.h"
#include "posix/settings.h"
#include "posix/signals.h"
#include "posix/system.h"
#include "tcp/port_table.h"
#include "tcp/tcp.h"

namespace millrace::preload {

namespace sys = posix::sys;

namespace {

thread_local int inside_depth __attribute__((tls_model("initial-exec"))) = 0;

}  // namespace

Inside::Inside() {
  ++inside_depth;
}
Inside::~Inside() {
  --inside_depth;
}
bool Shim::inside() {
  return inside_depth != 0 || posix::signal_gate.must_defer();
}

void complain(std::string_view what) {
  const std::string line = "millrace: " + std::string(what) + "\n";
  sys::write(2, line.data(), line.size());
}

Shim& Shim::instance() {
  // Never destroyed: other threads and exit handlers may still be inside.
  static Shim* const shim = new Shim;
  return *shim;
}

bool Shim::configured() {
  const char* device = getenv("MILLRACE_DEV");
  return device != nullptr && *device != '\0';
}

bool Shim::kernel_loopback() {
  const char* value = getenv("MILLRACE_KERNEL_LOOPBACK");
  if (value == nullptr) return false;
  const std::string_view text = value;
  return text == "1" || text == "true" || text == "yes";
}

posix::Context* Shim::running() {
  return posix::Library::instance().context_if_any();
}

bool Shim::start() {
  Inside inside;
  if (const char* rules = getenv("MILLRACE_RULES"); rules != nullptr) {
    if (const std::string wrong = parse_rules(rules, rules_); !wrong.empty()) {
      complain(wrong);
      return false;
    }
  }
  if (posix::Library::instance().init(nullptr) == 0) return true;
  complain(posix::Library::last_error());
  return false;
}

posix::Context* Shim::context() {
  if (posix::Context* context = running()) return context;
  if (!configured() || is_heir()) return nullptr;
  mutex_.lock();
  if (running() == nullptr && !failed_) {
    if (posix::Library::owner_elsewhere() != 0) {
      become_heir();
    } else {
      failed_ = !start();
    }
  }
  mutex_.unlock();
  posix::Context* context = running();
  if (context == nullptr) errno = ENETDOWN;
  return context;
}

const Rule* Shim::rule_for(Rule::Call call, const Endpoint& endpoint) const {
  for (const Rule& rule : rules_) {
    if (rule.call != Rule::Call::kBoth && rule.call != call) continue;
    if (rule.port != 0 && rule.port != endpoint.port) continue;
    if (rule.prefix.contains(endpoint.address)) return &rule;
  }
  return nullptr;
}

bool Shim::covers(const Endpoint& endpoint, bool local) {
  mutex_.lock();
  if (addresses_.empty()) {
    posix::Settings settings;
    if (posix::read_settings(nullptr, settings).empty()) {
      addresses_ = settings.context.interface.addresses;
      has_gateway_ = settings.context.gateway.has_value();
    }
    if (const char* text = getenv("MILLRACE_RULES"); text != nullptr && rules_.empty())
      static_cast<void>(parse_rules(text, rules_));
  }
  mutex_.unlock();
  if (const Rule* rule = rule_for(local ? Rule::Call::kBind : Rule::Call::kConnect, endpoint))
    return rule->fate == Fate::kStack;
  const IpAddress& address = endpoint.address;
  if (local && address.is_unspecified()) return endpoint.port != 0;
  if (address.is_unspecified() || address.is_loopback()) return false;
  for (const IpPrefix& own : addresses_) {
    if (local ? own.address == address : own.contains(address)) return true;
  }
  return !local && has_gateway_;
}

Fate Shim::fate_of_bind(posix::Context& context, const Endpoint& local) {
  if (const Rule* rule = rule_for(Rule::Call::kBind, local)) return rule->fate;
  if (local.address.is_unspecified()) return Fate::kStack;
  if (local.address.is_loopback()) return Fate::kKernel;
  posix::ContextLock guard(context);
  return context.stack().ip().is_bindable(local.address) ? Fate::kStack : Fate::kKernel;
}

Fate Shim::fate_of_peer(posix::Context& context, const Endpoint& remote, bool stream) {
  if (const Rule* rule = rule_for(Rule::Call::kConnect, remote)) return rule->fate;
  posix::ContextLock guard(context);
  Stack& stack = context.stack();
  if (remote.address.is_loopback() || remote.address.is_unspecified()) {
    // Those of this process first, then the kernel's.
    const bool ours =
        stream ? stack.tcp().ports().find_listener(remote, 0) != nullptr : stack.udp().is_bound(remote.port);
    return ours ? Fate::kStack : Fate::kKernel;
  }
  if (stack.ip().is_local(remote.address)) return Fate::kStack;
  return stack.ip().route(remote.address, posix::clock_now()) ? Fate::kStack : Fate::kKernel;
}

long Shim::placeholder() {
  int source = template_.load(std::memory_order_acquire);
  if (source < 0) {
    const long made = sys::keep_own(sys::call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (made < 0) return made;
    if (template_.compare_exchange_strong(source, static_cast<int>(made))) {
      source = static_cast<int>(made);
    } else {
      sys::close_own(static_cast<int>(made));
    }
  }
  return sys::fcntl(source, F_DUPFD_CLOEXEC, 0);
}

}  // namespace millrace::preload
