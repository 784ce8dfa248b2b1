#include "dpdk/rx_interrupts.h"

#include <rte_ethdev.h>
#include <unistd.h>

#include <cstdint>

#include "dpdk/vhost_peer.h"
#include "dpdk/wake_fd.h"

namespace millrace::drivers::dpdk {

void RxInterrupts::find(std::uint16_t port, bool configured, VhostPeer* vhost_peer) {
  port_ = port;
  vhost_peer_ = vhost_peer;
  there_ = configured && rte_eth_dev_rx_intr_enable(port, 0) == 0;
  if (there_) (void)rte_eth_dev_rx_intr_disable(port, 0);
}

int RxInterrupts::fd(std::uint16_t queue) const {
  return there_ ? rte_eth_dev_rx_intr_ctl_q_get_fd(port_, queue) : -1;
}

void RxInterrupts::set(std::uint16_t queue, bool on) {
  if (!there_) return;
  const std::lock_guard guard(mutex_);
  (void)(on ? rte_eth_dev_rx_intr_enable(port_, queue) : rte_eth_dev_rx_intr_disable(port_, queue));
}

bool RxInterrupts::pending(std::uint16_t queue) const {
  return is_readable(fd(queue));
}

bool RxInterrupts::clear(std::uint16_t queue) {
  const int wake = fd(queue);
  if (!is_readable(wake)) return true;
  if (vhost_peer_ != nullptr) {
    // vhost's descriptor is an epoll set around the one that the peer writes to, and those that it replaced.
    vhost_peer_->take_kick(queue);
  } else if (!take_wake(wake)) {
    std::uint64_t count = 0;
    (void)!::read(wake, &count, sizeof count);  // a device's own, where nobody else reads
  }
  return !is_readable(wake);
}

}  // namespace millrace::drivers::dpdk
