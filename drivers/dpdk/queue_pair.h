#pragma once

#include <sys/eventfd.h>

#include <atomic>

#include "base/apart.h"
#include "dpdk/lcore.h"
#include "dpdk/rx_queue.h"
#include "dpdk/tx_queue.h"
#include "unique_fd.h"

namespace millrace::drivers::dpdk {

/// One pair of queues of a port, with all that its user needs for bursts. What users do not share.
struct alignas(kApart) QueuePair {
  Lcore lcore;
  RxQueue rx{lcore};
  TxQueue tx{lcore};
  /// Its user is at the port (Port::Use).
  std::atomic<bool> busy{false};
  /// The link may have changed, and a descriptor that is readable then.
  std::atomic<bool> link_changed{true};
  UniqueFd event_fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

}  // namespace millrace::drivers::dpdk
