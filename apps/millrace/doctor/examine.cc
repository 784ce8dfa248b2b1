#include "doctor/examine.h"

#include <array>

#include "doctor/address_checks.h"
#include "doctor/dpdk_checks.h"
#include "doctor/link_checks.h"
#include "doctor/machine_checks.h"
#include "open_device.h"

namespace millrace::doctor {

namespace {

/// In the order in which one would mend things: addresses come before the link goes up.
constexpr std::array kChecks{
    check_driver,
    check_privileges,
    check_memlock,
    check_kernel,
    check_cpus,
    check_frequency,
    check_irqbalance,
    check_hugepages,
    check_iommu,
    check_pci,
    check_virtual_device,
    check_interface,
    check_claims,
    check_kernel_addresses,
    check_ipv6,
    check_link,
    check_mtu,
    check_offloads,
    check_peer,
    check_rings,
    check_channels,
    check_interrupts,
    check_routing,
    check_all_interfaces,
};

}  // namespace

Examination gather(const Target& target, std::span<const IpPrefix> addresses) {
  Examination examination;
  examination.target = target;
  const bool named = target.kind != Target::Kind::kMachine;
  examination.driver_built_in = !named || drivers::is_built_in(target.driver);
  if (target.on_interface()) examination.interface = query_interface_facts(target.interface);
  if (examination.interface) examination.peer = find_peer(examination.files, *examination.interface);
  if (!named) examination.interfaces = all_interfaces();
  for (const IpPrefix& address : addresses) examination.claims.push_back(query_claim(address));
  return examination;
}

Findings examine(const Examination& examination) {
  Findings findings;
  for (const Check check : kChecks) append(findings, check(examination));
  return findings;
}

}  // namespace millrace::doctor
