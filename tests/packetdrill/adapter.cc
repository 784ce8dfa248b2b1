#include "packetdrill/adapter.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "posix/calls.h"
#include "posix/library.h"

namespace millrace::packetdrill {

namespace {

constexpr std::size_t kBudget = 64;
/// Turns in a row at one moment: a deadline that stays in the past would keep the script for ever.
constexpr int kMaxTurns = 1000;

}  // namespace

int Descriptors::adopt(int own) {
  if (own < 0) return own;
  const int fd = eventfd(0, EFD_CLOEXEC);
  if (fd < 0) return fd;
  const std::lock_guard guard(mutex_);
  own_[fd] = own;
  return fd;
}

int Descriptors::find(int fd) const {
  const std::lock_guard guard(mutex_);
  const auto found = own_.find(fd);
  return found == own_.end() ? -1 : found->second;
}

void Descriptors::forget(int fd) {
  const std::lock_guard guard(mutex_);
  own_.erase(fd);
}

Adapter::Adapter(Profile profile, CommandFiles files)
    : profile_(std::move(profile)), files_(std::move(files)), kernel_before_(kernel_sysctls()) {
  VirtualTime::instance().start([this](Instant limit) { step(limit); });
}

Adapter::~Adapter() {
  if (!context_) return;
  posix::Library::instance().fds().for_each([&](int fd, const posix::Context& owner) {
    if (&owner == context_.get()) static_cast<void>(posix::close_file(fd, false));
  });
}

posix::Context& Adapter::context() {
  const std::lock_guard guard(start_mutex_);
  if (!context_) start();
  return *context_;
}

void Adapter::start() {
  Sysctls changed;
  for (const auto& [name, value] : kernel_sysctls()) {
    if (const auto before = kernel_before_.find(name);
        before == kernel_before_.end() || before->second != value)
      changed[name] = value;
  }
  // Scripts set the usual values with sysctl(8) first, and write to /proc/sys what is special to them.
  if (!files_.sysctls.empty()) apply_sysctls(sysctls_of_file(files_.sysctls), profile_);
  apply_sysctls(changed, profile_);
  if (!files_.discipline.empty())
    profile_.context.stack.tcp.pacing = discipline_of_file(files_.discipline).paces;

  auto device = std::make_unique<WireDevice>(profile_.mtu);
  device_ = device.get();
  context_ = std::make_unique<posix::Context>(profile_.context, std::move(device));
  // It goes by the time of threads that compute, and here time stands still meanwhile.
  context_->stop_backup();
  const posix::ContextLock guard(*context_);
  link::NeighbourCache& neighbours = context_->stack().interfaces()[0]->neighbours();
  const Instant now = VirtualTime::instance().now();
  if (profile_.context.gateway) neighbours.add_static(*profile_.context.gateway, WireDevice::kPeerMac, now);
}

void Adapter::follow_commands() {
  const std::lock_guard start_guard(start_mutex_);
  if (!context_ || files_.discipline.empty()) return;
  std::error_code none_yet;
  const auto told = std::filesystem::last_write_time(files_.discipline, none_yet);
  if (none_yet || told == discipline_told_) return;
  discipline_told_ = told;
  const std::optional<std::size_t> limit = discipline_of_file(files_.discipline).limit;
  const posix::ContextLock guard(*context_);
  context_->stack().interfaces()[0]->set_tx_queue_packets(
      limit.value_or(profile_.context.interface.tx_queue_packets));
}

void Adapter::follow_route() {
  if (files_.sysctls.empty()) return;
  apply_sysctls(sysctls_of_file(files_.sysctls), profile_);
  if (profile_.route_mtu == route_mtu_) return;
  route_mtu_ = profile_.route_mtu;
  posix::Context& stack = context();
  const posix::ContextLock guard(stack);
  link::Interface& interface = *stack.stack().interfaces()[0];
  stack.stack().ip().add_route(
      {IpPrefix{IpAddress{}, 0}, profile_.context.gateway, &interface, profile_.route_mtu});
}

void Adapter::turn() {
  posix::Context& stack = context();
  const posix::ContextLock guard(stack);
  while (stack.turn(VirtualTime::instance().now()) >= kBudget) {
  }
}

Instant Adapter::next_deadline() {
  posix::Context& stack = context();
  const posix::ContextLock guard(stack);
  return stack.stack().next_deadline();
}

void Adapter::inject(std::span<const std::uint8_t> packet) {
  posix::Context& stack = context();
  VirtualTime::instance().wait_until_quiet();
  {
    const posix::ContextLock guard(stack);
    device_->inject(packet);
    stack.turn(VirtualTime::instance().now());
  }
  VirtualTime::instance().wait_until_quiet();
}

void Adapter::step(Instant limit) {
  VirtualTime& time = VirtualTime::instance();
  time.wait_until_quiet();
  const Instant next = std::min({next_deadline(), time.next_wake(), limit});
  if (next == kNever) return;
  time.advance_to(next);
  turn();
  time.wait_until_quiet();
}

void Adapter::run_until(Instant end) {
  VirtualTime& time = VirtualTime::instance();
  static_cast<void>(context());
  follow_route();
  int turns = 0;
  for (Instant before = time.now(); before < end; before = time.now()) {
    if (turns == kMaxTurns) {
      time.advance_to(end);
      turns = 0;
    }
    step(end);
    turns = time.now() == before ? turns + 1 : 0;
  }
  turn();
  time.wait_until_quiet();
}

bool Adapter::next_packet(SentPacket& packet) {
  VirtualTime& time = VirtualTime::instance();
  static_cast<void>(context());
  time.wait_until_quiet();
  turn();
  for (int turns = 0; turns < kMaxTurns;) {
    {
      const posix::ContextLock guard(*context_);
      if (device_->has_sent()) {
        packet = device_->take_sent();
        return true;
      }
    }
    const Instant before = time.now();
    if (std::min(next_deadline(), time.next_wake()) == kNever) return false;
    step(kNever);
    turns = time.now() == before ? turns + 1 : 0;
  }
  return false;
}

}  // namespace millrace::packetdrill
