#pragma once

#include "doctor/examination.h"

namespace millrace::doctor {

// Where the kernel would answer, or act, in the stack's place.

/// The addresses that the stack is to have.
[[nodiscard]] Findings check_claims(const Examination& examination);
/// The kernel's own addresses on the interface.
[[nodiscard]] Findings check_kernel_addresses(const Examination& examination);
[[nodiscard]] Findings check_ipv6(const Examination& examination);
/// Proxy ARP and forwarding on the interface; on a TAP, also the filter on what comes from the stack.
[[nodiscard]] Findings check_routing(const Examination& examination);

}  // namespace millrace::doctor
