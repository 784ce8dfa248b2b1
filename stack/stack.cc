#include "stack.h"

#include <algorithm>
#include <new>

#include "drop_watch.h"
#include "tcp/tcp_socket.h"
#include "udp/udp_socket.h"

namespace millrace {

namespace {

/// How often one turn goes around what our own sockets send each other before others get their turn.
constexpr int kLoopbackRounds = 8;

}  // namespace

Stack::Stack(const StackConfig& config, const Rng::Seed& seed, Instant now)
    : slabs_(config.memory),
      pool_(config.pool, config.memory),
      timers_(now),
      rng_(seed),
      last_turn_(now),
      ip_(std::make_unique<ip::IpLayer>(config.ip, pool_, timers_, rng_)),
      udp_(std::make_unique<udp::Udp>(config.udp, *ip_, ready_, rng_)),
      tcp_(std::make_unique<tcp::Tcp>(config.tcp, *ip_, pool_, slabs_, timers_, ready_, rng_, now)) {}

Stack::~Stack() {
  // From above to below: transports may still send while they go, interfaces outlive that.
  tcp_.reset();
  udp_.reset();
  interfaces_.clear();
}

link::Interface& Stack::add_interface(NetDevice& device, const link::InterfaceConfig& config, Instant now) {
  const auto id = static_cast<std::uint8_t>(interfaces_.size());
  // The first device that has memory of its own: the pool takes from one place only.
  if (SlabSource* memory = device.slab_source(); memory != nullptr && !pool_.takes_slabs())
    pool_.take_slabs_from(*memory);
  interfaces_.push_back(
      std::make_unique<link::Interface>(id, device, config, pool_, timers_, rng_, *ip_, now));
  link::Interface& interface = *interfaces_.back();
  ip_->add_interface(interface);
  if (device.wants_fates()) {
    if (!drop_watch_) drop_watch_ = std::make_unique<DropWatch>(*this);
    interface.set_observer(drop_watch_.get());
  }
  interface.flush(now);
  return interface;
}

std::size_t Stack::poll(Instant now, std::size_t budget) {
  last_turn_ = now;
  std::size_t received = 0;
  for (const auto& interface : interfaces_) received += interface->poll(budget, now);
  timers_.run(now);
  for (int round = 0; round < kLoopbackRounds; ++round) {
    ip_->poll_loopback(budget, now);
    tcp_->flush(now);
    if (!ip_->loopback_pending()) break;
  }
  flush_interfaces(now);
  return received;
}

void Stack::flush(Instant now) {
  last_turn_ = now;
  tcp_->flush(now);
  flush_interfaces(now);
}

bool Stack::has_pending() const {
  return tcp_->has_pending() || ip_->loopback_pending();
}

void Stack::flush_interfaces(Instant now) {
  do {
    for (const auto& interface : interfaces_) interface->flush(now);
  } while (tcp_->resume_senders(now));
  udp_->resume_senders();
}

Instant Stack::next_deadline() const {
  return ip_->loopback_pending() ? last_turn_ : timers_.next_deadline();
}

Result<std::unique_ptr<Socket>> Stack::create_socket(SocketType type, IpAddress::Family family) {
  try {
    return type == SocketType::kStream ? tcp_->create_socket(family) : udp_->create_socket(family);
  } catch (const std::bad_alloc&) {
    return Error::kNoMemory;
  }
}

std::unique_ptr<Socket> Stack::create_twin(const Socket& model, bool guest) {
  if (model.type() == SocketType::kStream)
    return tcp_->create_twin(static_cast<const tcp::TcpSocket&>(model), guest);
  return udp_->create_twin(static_cast<const udp::UdpSocket&>(model), guest);
}

}  // namespace millrace
