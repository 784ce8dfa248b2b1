#pragma once

#include "doctor/examination.h"

namespace millrace::doctor {

// The interface that a device stands on.

/// It is there, is Ethernet, and nobody else takes its frames.
[[nodiscard]] Findings check_interface(const Examination& examination);
/// Up, and with a carrier.
[[nodiscard]] Findings check_link(const Examination& examination);
[[nodiscard]] Findings check_mtu(const Examination& examination);
[[nodiscard]] Findings check_rings(const Examination& examination);
[[nodiscard]] Findings check_channels(const Examination& examination);
/// Which CPUs its interrupts go to.
[[nodiscard]] Findings check_interrupts(const Examination& examination);
/// What its driver does to frames.
[[nodiscard]] Findings check_offloads(const Examination& examination);
/// What the other end of a veth leaves undone.
[[nodiscard]] Findings check_peer(const Examination& examination);
/// Without a device: which interfaces would do, a line each.
[[nodiscard]] Findings check_all_interfaces(const Examination& examination);

}  // namespace millrace::doctor
