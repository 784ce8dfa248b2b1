#include "dpdk/rx_interrupts.h"

#include <poll.h>
#include <rte_eth_vhost.h>
#include <rte_ethdev.h>
#include <rte_vhost.h>
#include <unistd.h>

namespace millrace::drivers::dpdk {
namespace {

bool is_readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return fd >= 0 && ::poll(&one, 1, 0) == 1;
}

void drain_eventfd(int fd) {
  std::uint64_t count = 0;
  if (is_readable(fd)) (void)!::read(fd, &count, sizeof count);
}

}  // namespace

void RxInterrupts::find(std::uint16_t port, bool configured, bool is_vhost) {
  port_ = port;
  is_vhost_ = is_vhost;
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

void RxInterrupts::clear(std::uint16_t queue) {
  if (!is_vhost_) {
    drain_eventfd(fd(queue));
    return;
  }
  // Its descriptor is an epoll set around the one that the guest writes to, which nobody else reads.
  const int vid = rte_eth_vhost_get_vid_from_port_id(port_);
  rte_vhost_vring ring{};
  if (vid >= 0 && rte_vhost_get_vhost_vring(vid, static_cast<std::uint16_t>(2 * queue + 1), &ring) == 0)
    drain_eventfd(ring.kickfd);
}

}  // namespace millrace::drivers::dpdk
