#include "doctor/address_checks.h"

#include <linux/capability.h>

#include <algorithm>

#include "doctor/machine_checks.h"

namespace millrace::doctor {

namespace {

using Kind = Target::Kind;

std::string text_of(const IpPrefix& prefix) {
  return prefix.address.to_string() + "/" + std::to_string(prefix.length);
}

bool is_link_local(const IpAddress& address) {
  return address.is_v6() && address.bytes()[0] == 0xfe && (address.bytes()[1] & 0xc0) == 0x80;
}

/// The stack is to have it, whoever has it now.
bool is_claimed(const Examination& examination, const IpAddress& address) {
  return std::any_of(examination.claims.begin(), examination.claims.end(),
                     [&address](const AddressClaim& claim) { return claim.given.address == address; });
}

/// The kernel uses the interface itself: it has more there than what every interface gets by going up, and
/// than what is to become the stack's.
bool shared_with_kernel(const Examination& examination) {
  const std::vector<IpPrefix>& addresses = examination.interface->addresses;
  return std::any_of(addresses.begin(), addresses.end(), [&examination](const IpPrefix& prefix) {
    return !is_link_local(prefix.address) && !is_claimed(examination, prefix.address);
  });
}

/// Names with dots in them (of VLANs) are written with sysctl's other separator.
std::string sysctl_name(const std::string& family, const std::string& interface, const std::string& key) {
  const char* const separator = interface.find('.') == std::string::npos ? "." : "/";
  std::string name = "net";
  for (const std::string& part : {family, std::string("conf"), interface, key}) name += separator + part;
  return name;
}

std::string set_command(const std::string& family, const std::string& interface, const std::string& key,
                        const char* value) {
  return "sysctl -w " + sysctl_name(family, interface, key) + "=" + value;
}

bool is_set(const Files& files, const std::string& interface, const char* key) {
  return files.read_number("/proc/sys/net/ipv4/conf/" + interface + "/" + key).value_or(0) != 0;
}

Finding check_claim(const AddressClaim& claim, const Target& target) {
  const std::string subject = "address " + claim.given.address.to_string();
  if (claim.configured) {
    return bad(subject,
               "the kernel has it, on " + claim.interface + ", and answers in the stack's place (" +
                   (claim.given.address.is_v4() ? "ARP" : "neighbour discovery") + ", resets)",
               "ip addr del " + claim.given.address.to_string() + "/" + std::to_string(claim.length) +
                   " dev " + claim.interface + "  # or give the stack another one");
  }
  if (claim.route.type == Route::Type::kLocal) {
    return bad(subject,
               "the kernel takes all of " + text_of(claim.route.prefix) + " for its own, by a local route",
               "ip route del local " + text_of(claim.route.prefix) + " dev " + claim.interface);
  }
  if (claim.route.type == Route::Type::kBroadcast) {
    return bad(subject, "is a broadcast address of the kernel's network on " + claim.interface,
               "millrace doctor " + target.spec + " --addr ANOTHER/" + std::to_string(claim.given.length));
  }
  return ok(subject, "the kernel does not have it");
}

Findings check_forwarding(const Examination& examination) {
  const Files& files = examination.files;
  const std::string& name = examination.interface->name;
  const std::string subject = name + ": forwarding";
  if (!is_set(files, name, "forwarding")) return {ok(subject, "off")};
  const Target& target = examination.target;
  // Frames for another hardware address never come to the kernel's IP, nor those that XDP has taken.
  const bool spared =
      target.kind != Kind::kAfPacket || target.own_mac ||
      (has_tcx(files) && has_capability(files, CAP_NET_ADMIN) && has_capability(files, kCapabilityBpf));
  if (spared) return {ok(subject, "on; the kernel is spared the stack's frames")};
  return {warn(subject, "on: the kernel sends what comes for the stack's address out again",
               set_command("ipv4", name, "forwarding", "0"))};
}

Findings check_proxy_arp(const Examination& examination) {
  const std::string& name = examination.interface->name;
  for (const std::string& where : {std::string("all"), name}) {
    if (!is_set(examination.files, where, "proxy_arp")) continue;
    return {warn(name + ": proxy ARP",
                 "on: the kernel answers for addresses that it has a route to by another interface",
                 set_command("ipv4", where, "proxy_arp", "0"))};
  }
  return {};
}

/// Of the kernel's end of a TAP, which is made with the system's defaults when it is not there yet.
Findings check_tap(const Examination& examination) {
  const Files& files = examination.files;
  const std::string& name = examination.target.interface;
  const std::string own = files.exists("/proc/sys/net/ipv4/conf/" + name) ? name : "default";
  Findings findings;
  for (const std::string& where : {std::string("all"), own}) {
    if (files.read_number("/proc/sys/net/ipv4/conf/" + where + "/rp_filter") != 1u) continue;
    findings.push_back(warn(name + ": rp_filter",
                            "strict (" + where +
                                "): the kernel drops what the stack sends from an address that it "
                                "has no route to by " +
                                name,
                            set_command("ipv4", where, "rp_filter", "2")));
  }
  const bool forwards = files.read_number("/proc/sys/net/ipv4/ip_forward").value_or(0) != 0;
  findings.push_back(
      ok(name + ": forwarding", forwards ? "on: the stack can reach other machines through the kernel"
                                         : "off: the stack reaches this machine only"));
  return findings;
}

}  // namespace

Findings check_claims(const Examination& examination) {
  Findings findings;
  for (const AddressClaim& claim : examination.claims)
    findings.push_back(check_claim(claim, examination.target));
  return findings;
}

Findings check_kernel_addresses(const Examination& examination) {
  if (!examination.interface) return {};
  const InterfaceFacts& interface = *examination.interface;
  const std::string subject = interface.name + ": addresses";
  std::string list;
  bool told = false;
  for (const IpPrefix& prefix : interface.addresses) {
    if (is_claimed(examination, prefix.address)) {
      told = true;
    } else if (prefix.address.is_v4()) {
      list += (list.empty() ? "" : ", ") + text_of(prefix);
    }
  }
  if (list.empty() && told) return {};
  if (list.empty()) return {ok(subject, "none of the kernel's that would answer")};
  if (!examination.claims.empty()) return {ok(subject, list + " stays the kernel's own")};
  return {warn(subject, "the kernel answers for " + list + ": the stack needs another one",
               "millrace doctor " + examination.target.spec + " --addr ADDRESS/LENGTH")};
}

Findings check_ipv6(const Examination& examination) {
  if (!examination.interface) return {};
  const InterfaceFacts& interface = *examination.interface;
  const std::string subject = interface.name + ": IPv6";
  const auto disabled =
      examination.files.read_number("/proc/sys/net/ipv6/conf/" + interface.name + "/disable_ipv6");
  if (disabled.value_or(1) != 0) return {ok(subject, "the kernel is silent")};
  if (shared_with_kernel(examination))
    return {ok(subject, "the kernel's, as the interface has other addresses of its own")};
  const auto own = std::find_if(interface.addresses.begin(), interface.addresses.end(),
                                [](const IpPrefix& prefix) { return is_link_local(prefix.address); });
  return {warn(subject,
               own != interface.addresses.end()
                   ? "the kernel has " + text_of(*own) + ", and speaks and answers there"
                   : "the kernel takes an address for itself when the link goes up, and speaks there",
               set_command("ipv6", interface.name, "disable_ipv6", "1"))};
}

Findings check_routing(const Examination& examination) {
  if (examination.target.kind == Kind::kTap) return check_tap(examination);
  if (!examination.interface) return {};
  Findings findings = check_proxy_arp(examination);
  append(findings, check_forwarding(examination));
  return findings;
}

}  // namespace millrace::doctor
