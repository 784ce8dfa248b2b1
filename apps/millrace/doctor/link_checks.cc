#include "doctor/link_checks.h"

#include <algorithm>
#include <iterator>

#include "doctor/cpu_list.h"
#include "doctor/machine_checks.h"
#include "doctor/pci.h"

namespace millrace::doctor {

namespace {

using Kind = Target::Kind;

std::string set_up(const InterfaceFacts& interface) {
  return "ip link set dev " + interface.name + " up";
}

/// The one to bind back, when an interface is missing because a program has its device.
std::string handed_over_device(const Files& files) {
  for (const PciNic& nic : pci_nics(files)) {
    if (nic.handed_over()) return nic.address;
  }
  return {};
}

Finding missing_interface(const Files& files, const std::string& name) {
  const std::string pci = handed_over_device(files);
  if (!pci.empty()) {
    return bad(
        name,
        "there is no such interface here; PCI " + pci + " is bound for programs, and has none meanwhile",
        "echo " + pci + " >/sys/bus/pci/devices/" + pci + "/driver/unbind && echo >/sys/bus/pci/devices/" +
            pci + "/driver_override && echo " + pci + " >/sys/bus/pci/drivers_probe");
  }
  return bad(name, "there is no such interface in this network namespace", "millrace doctor  # lists them");
}

std::string kernel_addresses(const InterfaceFacts& interface) {
  std::string text;
  for (const IpPrefix& prefix : interface.addresses) {
    if (prefix.address.is_v4())
      text += (text.empty() ? "" : ", ") + prefix.address.to_string() + "/" + std::to_string(prefix.length);
  }
  return text;
}

Finding describe(const InterfaceFacts& interface) {
  const std::string& name = interface.name;
  if (!interface.ethernet) return ok(name, "will not do: it is not Ethernet");
  if (!interface.master.empty()) return ok(name, "will not do: it is a port of " + interface.master);
  const std::string about =
      interface.driver + (interface.driver.empty() ? "" : ", ") + "MTU " + std::to_string(interface.mtu);
  if (!interface.up) return warn(name, "would do, once up: " + about, set_up(interface));
  if (!interface.carrier) return ok(name, "would do, once its link has a carrier: " + about);
  const std::string addresses = kernel_addresses(interface);
  return ok(name, "would do, as af_packet:" + name + ": " + about +
                      (addresses.empty() ? ", without addresses of the kernel's"
                                         : ", beside the kernel's " + addresses + " under another address"));
}

Finding check_affinity(const Files& files, const std::string& subject, const std::set<unsigned>& interrupts) {
  std::set<unsigned> used;
  for (const unsigned number : interrupts) {
    const std::string folder = "/proc/irq/" + std::to_string(number);
    used.merge(parse_cpu_list(files.read(folder + "/smp_affinity_list").value_or("")));
  }
  const std::set<unsigned> isolated = isolated_cpus(files);
  std::set<unsigned> disturbed;
  std::set_intersection(used.begin(), used.end(), isolated.begin(), isolated.end(),
                        std::inserter(disturbed, disturbed.end()));
  std::string text = std::to_string(interrupts.size()) +
                     (interrupts.size() == 1 ? " interrupt, on CPU " : " interrupts, on CPUs ") +
                     format_cpu_list(used);
  if (disturbed.empty()) return ok(subject, text);
  std::set<unsigned> others = parse_cpu_list(files.read("/sys/devices/system/cpu/online").value_or(""));
  for (const unsigned cpu : isolated) others.erase(cpu);
  std::string numbers;
  for (const unsigned number : interrupts) numbers += " " + std::to_string(number);
  return warn(subject, text + ", of which " + format_cpu_list(disturbed) + " should be left alone",
              "for i in" + numbers + "; do echo " + format_cpu_list(others) +
                  " >/proc/irq/$i/smp_affinity_list; done");
}

}  // namespace

Findings check_interface(const Examination& examination) {
  const Target& target = examination.target;
  if (!target.on_interface()) return {};
  if (!examination.interface) return {missing_interface(examination.files, target.interface)};
  const InterfaceFacts& interface = *examination.interface;
  if (!interface.ethernet)
    return {bad(interface.name, "is not Ethernet", "millrace doctor  # lists what would do")};
  Findings findings{ok(interface.name, interface.driver.empty() ? "is there" : "driver " + interface.driver)};
  if (!interface.master.empty()) {
    findings.push_back(warn(interface.name,
                            "is a port of " + interface.master + ", which takes its frames, too",
                            "ip link set dev " + interface.name + " nomaster"));
  }
  if (interface.link.xdp && target.uses_af_xdp()) {
    findings.push_back(
        bad(interface.name, "another XDP program is attached, and only one can be",
            "ip link set dev " + interface.name + " xdp off  # or end the program that attached it"));
  }
  return findings;
}

Findings check_link(const Examination& examination) {
  if (!examination.interface) return {};
  const InterfaceFacts& interface = *examination.interface;
  const std::string subject = interface.name + ": link";
  if (!interface.up) return {bad(subject, "is down", set_up(interface))};
  if (interface.carrier) return {ok(subject, "is up")};
  if (examination.peer && !examination.peer->interface.up) {
    const PeerFacts& peer = *examination.peer;
    return {bad(subject, "has no carrier: its peer " + peer.interface.name + peer.place + " is down",
                peer.command_prefix + set_up(peer.interface))};
  }
  return {bad(subject, "has no carrier",
              "plug the cable, or see: ethtool " + interface.name + "  # \"Link detected\"")};
}

Findings check_mtu(const Examination& examination) {
  if (!examination.interface) return {};
  const InterfaceFacts& interface = *examination.interface;
  const std::string subject = interface.name + ": MTU";
  const std::string is = std::to_string(interface.mtu);
  constexpr std::uint32_t kSmallest = 576, kXdp = 3822, kDpdkXdp = 3542, kDpdkPacketSocket = 1500;
  std::uint32_t most = UINT32_MAX;
  if (examination.target.kind == Kind::kXdp) most = kXdp;
  if (examination.target.virtual_driver == "net_af_xdp") most = kDpdkXdp;
  if (examination.target.virtual_driver == "net_af_packet") most = kDpdkPacketSocket;
  const std::string remedy = "ip link set dev " + interface.name + " mtu 1500";
  if (interface.mtu < kSmallest)
    return {bad(subject, is + ": the stack needs " + std::to_string(kSmallest) + " or more", remedy)};
  if (interface.mtu > most)
    return {bad(subject, is + ": such a device carries no more than " + std::to_string(most), remedy)};
  return {ok(subject, is)};
}

Findings check_rings(const Examination& examination) {
  if (!examination.interface) return {};
  const InterfaceFacts& interface = *examination.interface;
  const std::string subject = interface.name + ": rings";
  if (!interface.rings || interface.rings->rx_max == 0) return {ok(subject, "the driver has none to set")};
  constexpr std::uint32_t kEnough = 1024;
  const Rings& rings = *interface.rings;
  const std::string text = "rx " + std::to_string(rings.rx) + " of " + std::to_string(rings.rx_max) +
                           ", tx " + std::to_string(rings.tx) + " of " + std::to_string(rings.tx_max);
  const std::uint32_t wanted = std::min(kEnough, rings.rx_max);
  if (rings.rx >= wanted) return {ok(subject, text)};
  return {warn(subject, text + ": a short pause of the program loses frames",
               "ethtool -G " + interface.name + " rx " + std::to_string(wanted))};
}

Findings check_channels(const Examination& examination) {
  if (!examination.interface || !examination.interface->channels) return {};
  const InterfaceFacts& interface = *examination.interface;
  const Channels& channels = *interface.channels;
  const std::string subject = interface.name + ": queues";
  const std::string text = std::to_string(channels.receiving()) + " to receive";
  if (examination.target.kind != Kind::kXdp || channels.receiving() <= 1) return {ok(subject, text)};
  return {
      warn(subject,
           text + ": AF_XDP takes one, or as many as --queues says, and what comes to others passes it by",
           "ethtool -L " + interface.name + (channels.combined != 0 ? " combined 1" : " rx 1") +
               "  # or run with: --queues " + std::to_string(channels.receiving()))};
}

Findings check_interrupts(const Examination& examination) {
  const Files& files = examination.files;
  const Target& target = examination.target;
  if (!examination.interface) return {};
  const std::string pci = pci_address_of(files, target.interface);
  std::set<unsigned> interrupts;
  if (!pci.empty()) {
    for (const std::string& name : files.list("/sys/bus/pci/devices/" + pci + "/msi_irqs"))
      interrupts.merge(parse_cpu_list(name));
  }
  if (interrupts.empty()) return {};
  return {check_affinity(files, target.interface + ": interrupts", interrupts)};
}

Findings check_all_interfaces(const Examination& examination) {
  Findings findings;
  for (const InterfaceFacts& interface : examination.interfaces) findings.push_back(describe(interface));
  return findings;
}

}  // namespace millrace::doctor
