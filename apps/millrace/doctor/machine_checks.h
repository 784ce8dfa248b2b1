#pragma once

#include <set>

#include "doctor/examination.h"

namespace millrace::doctor {

// What of the machine and of this process matters to a device.

/// This version has the driver that the spec names.
[[nodiscard]] Findings check_driver(const Examination& examination);
/// CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF and others that the device asks for.
[[nodiscard]] Findings check_privileges(const Examination& examination);
/// Memory that may be locked, for AF_XDP and VFIO.
[[nodiscard]] Findings check_memlock(const Examination& examination);
/// The kernel's version, and what of it the device uses: tcx, AF_XDP, tun.
[[nodiscard]] Findings check_kernel(const Examination& examination);
/// How many CPUs there are, which are isolated, and how they are clocked.
[[nodiscard]] Findings check_cpus(const Examination& examination);
[[nodiscard]] Findings check_frequency(const Examination& examination);
/// irqbalance moves interrupts behind one's back.
[[nodiscard]] Findings check_irqbalance(const Examination& examination);

/// For several checks: the CPUs that isolcpus or nohz_full keep free of other work.
[[nodiscard]] std::set<unsigned> isolated_cpus(const Files& files);
/// Since Linux 5.8; CAP_SYS_ADMIN includes it.
inline constexpr unsigned kCapabilityBpf = 39;
[[nodiscard]] bool has_capability(const Files& files, unsigned number);
/// Where the stack can keep its frames from the kernel's IP (Linux 6.6).
[[nodiscard]] bool has_tcx(const Files& files);

}  // namespace millrace::doctor
