#pragma once

#include <rte_mbuf.h>

#include "packet/packet.h"

namespace millrace::drivers::dpdk {

/// What the device says about a received frame, into the offload of its packet.
void rx_offload(const rte_mbuf& frame, Offload& offload);

/// Asks the device for what is left to do with `packet`. False: its headers do not allow that.
[[nodiscard]] bool set_tx_offload(const Packet& packet, rte_mbuf& frame);

}  // namespace millrace::drivers::dpdk
