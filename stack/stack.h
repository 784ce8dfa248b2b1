#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/apart.h"
#include "base/object_slabs.h"
#include "base/rng.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "ip/ip.h"
#include "ip/ip_layer.h"
#include "link/interface.h"
#include "packet/pool.h"
#include "socket/socket.h"
#include "tcp/tcp.h"
#include "udp/udp.h"

namespace millrace {

class DropWatch;

struct StackConfig {
  SlabSource* memory = nullptr;  ///< of packets and connections; outlives the stack; null: the system's
  PacketPool::Limits pool;
  ip::Config ip;
  udp::Config udp;
  tcp::Config tcp;
};

/// One whole TCP/IP stack: interfaces below, sockets above. Sans-IO: it does nothing but in poll(), flush()
/// and the calls of its sockets, knows no time but what it is told, and has no thread. Not thread-safe: the
/// owner locks.
///
///     while (running) {
///       stack.poll(now(), 256);
///       ... calls on sockets that stack.ready() names, then stack.flush(now()) ...
///       sleep until stack.next_deadline() or a device's wait fd
///     }
class alignas(kApart) Stack {
 public:
  Stack(const StackConfig& config, const Rng::Seed& seed, Instant now);
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  ~Stack();

  /// Adds a device with its addresses and their on-link routes. The device must outlive the stack.
  link::Interface& add_interface(NetDevice& device, const link::InterfaceConfig& config, Instant now);

  /// One turn: receive up to `budget` frames from each interface, run what is due, transmit what that made
  /// ready. Returns the number of frames that came: at `budget` there may be more.
  std::size_t poll(Instant now, std::size_t budget);
  /// Transmits what socket calls have queued since the last turn. Cheap when there is nothing.
  void flush(Instant now);
  /// A call since then queued something.
  [[nodiscard]] bool has_pending() const;
  /// When poll() must be called again at the latest, if nothing arrives; kNever: only on arrival.
  [[nodiscard]] Instant next_deadline() const;

  /// Fails with kNoMemory.
  [[nodiscard]] Result<std::unique_ptr<Socket>> create_socket(
      SocketType type, IpAddress::Family family = IpAddress::Family::kV4);
  /// A socket of this stack that is as `model`, of another one, was made and set up: the same options, not
  /// bound. A guest stands for a socket that lives elsewhere: sockets of this stack's own that are bound to
  /// the same are preferred (SO_REUSEPORT). Reads the model and touches nothing of this stack that changes,
  /// so the model's owner may call it. Throws std::bad_alloc.
  [[nodiscard]] std::unique_ptr<Socket> create_twin(const Socket& model, bool guest);
  [[nodiscard]] ReadyList& ready() { return ready_; }

  [[nodiscard]] PacketPool& pool() { return pool_; }
  /// For what there is one of for each socket; under the owner's lock, too.
  [[nodiscard]] ObjectSlabs& slabs() { return slabs_; }
  [[nodiscard]] TimerWheel& timers() { return timers_; }
  [[nodiscard]] ip::IpLayer& ip() { return *ip_; }
  [[nodiscard]] tcp::Tcp& tcp() { return *tcp_; }
  [[nodiscard]] udp::Udp& udp() { return *udp_; }
  [[nodiscard]] std::span<const std::unique_ptr<link::Interface>> interfaces() const { return interfaces_; }

  /// visit(std::string_view room, std::string_view name, std::uint64_t value) for every counter of every
  /// room.
  template <typename Visitor>
  void for_each_counter(Visitor&& visit) const;
  /// visit(std::string_view name, std::uint64_t value) for every counter that says that a received frame was
  /// dropped, or what it asked for refused; those of a lower room first.
  template <typename Visitor>
  void for_each_drop_counter(Visitor&& visit) const;

 private:
  void flush_interfaces(Instant now);

  ObjectSlabs slabs_;
  PacketPool pool_;
  TimerWheel timers_;
  Rng rng_;
  Instant last_turn_;
  ReadyList ready_;
  std::unique_ptr<ip::IpLayer> ip_;
  std::unique_ptr<udp::Udp> udp_;
  std::unique_ptr<tcp::Tcp> tcp_;
  std::vector<std::unique_ptr<link::Interface>> interfaces_;
  std::unique_ptr<DropWatch> drop_watch_;  ///< where a device wants to hear of drops
};

template <typename Visitor>
void Stack::for_each_counter(Visitor&& visit) const {
  const auto room = [&](std::string_view name) {
    return [&visit, name](std::string_view counter, std::uint64_t value) { visit(name, counter, value); };
  };
  pool_.counters().for_each(room("pool"));
  for (const auto& interface : interfaces_) {
    interface->counters().for_each(room("link"));
    interface->neighbours().counters().for_each(room("neighbour"));
  }
  ip_->counters().for_each(room("ip"));
  udp_->counters().for_each(room("udp"));
  tcp_->counters().for_each(room("tcp"));
}

template <typename Visitor>
void Stack::for_each_drop_counter(Visitor&& visit) const {
  for (const auto& interface : interfaces_) {
    interface->counters().for_each_drop(visit);
    interface->neighbours().counters().for_each_drop(visit);
  }
  ip_->counters().for_each_drop(visit);
  udp_->counters().for_each_drop(visit);
  tcp_->counters().for_each_drop(visit);
}

}  // namespace millrace
