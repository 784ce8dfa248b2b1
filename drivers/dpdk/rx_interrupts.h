#pragma once

#include <cstdint>
#include <mutex>

namespace millrace::drivers::dpdk {

class VhostPeer;

/// The interrupts of a port's receive queues, and the descriptors by which they wake who sleeps. A queue's
/// are its user's, while the port is open.
class RxInterrupts {
 public:
  /// On the EAL's thread, each time the port has started. `configured`: it was asked for them. `vhost_peer`:
  /// a net_vhost port's.
  void find(std::uint16_t port, bool configured, VhostPeer* vhost_peer);
  [[nodiscard]] bool there() const { return there_; }

  /// The descriptor that becomes readable when frames come to a queue whose interrupt is on; -1: none.
  [[nodiscard]] int fd(std::uint16_t queue) const;
  void set(std::uint16_t queue, bool on);
  /// The descriptor is readable.
  [[nodiscard]] bool pending(std::uint16_t queue) const;
  /// Takes off that descriptor what woke its sleeper. False: it is readable still, and would end each sleep
  /// at once.
  [[nodiscard]] bool clear(std::uint16_t queue);

 private:
  std::uint16_t port_ = 0;
  bool there_ = false;
  VhostPeer* vhost_peer_ = nullptr;
  std::mutex mutex_;  ///< of all queues: devices have registers for several of them
};

}  // namespace millrace::drivers::dpdk
