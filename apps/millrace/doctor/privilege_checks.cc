#include <linux/capability.h>

#include <charconv>
#include <cstdint>

#include "doctor/machine_checks.h"
#include "doctor/pci.h"

namespace millrace::doctor {

namespace {

using Kind = Target::Kind;

struct Need {
  unsigned capability;
  const char* name;
  Severity severity;
  const char* without;  ///< what happens then
};

using Needs = std::vector<Need>;

/// Of a device on the PCI bus.
Needs pci_needs(const Files& files, const std::string& address) {
  const std::optional<PciNic> nic = pci_device(files, address);
  if (nic && nic->bifurcated()) {
    return {{CAP_NET_RAW, "CAP_NET_RAW", Severity::kBad, "the kernel's driver gives out no queues"},
            {CAP_NET_ADMIN, "CAP_NET_ADMIN", Severity::kWarn, "MTU and link cannot be set"}};
  }
  if (has_iommu(files)) return {};
  return {{CAP_SYS_RAWIO, "CAP_SYS_RAWIO", Severity::kBad, "VFIO without an IOMMU does not open the device"},
          {CAP_SYS_ADMIN, "CAP_SYS_ADMIN", Severity::kBad, "no physical addresses can be looked up"}};
}

Needs needs_of(const Target& target, const Files& files) {
  static constexpr const char* kNoFilter =
      "the kernel's own IP, too, looks at each frame for the stack before it drops it";
  const Need raw{CAP_NET_RAW, "CAP_NET_RAW", Severity::kBad, "no packet socket can be opened"};
  const Need make{CAP_NET_ADMIN, "CAP_NET_ADMIN", Severity::kBad, "no interface can be made"};
  if (target.kind == Kind::kMachine || target.kind == Kind::kAfPacket) {
    return {raw,
            {CAP_NET_ADMIN, "CAP_NET_ADMIN", Severity::kWarn, kNoFilter},
            {kCapabilityBpf, "CAP_BPF", Severity::kWarn, kNoFilter}};
  }
  if (target.uses_af_xdp()) {
    return {{CAP_NET_RAW, "CAP_NET_RAW", Severity::kBad, "no AF_XDP socket can be opened"},
            {CAP_NET_ADMIN, "CAP_NET_ADMIN", Severity::kBad, "no XDP program can be attached"},
            {kCapabilityBpf, "CAP_BPF", Severity::kBad, "no XDP program can be loaded"}};
  }
  if (target.makes_tap()) return {make};
  if (target.kind == Kind::kPci) return pci_needs(files, target.pci);
  return target.on_interface() ? Needs{raw} : Needs{};
}

std::string lower(std::string_view name) {
  std::string text(name);
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

std::string own_program(const Files& files) {
  const std::string path = files.resolve("/proc/self/exe");
  return path.empty() ? "\"$(command -v millrace)\"" : path;
}

}  // namespace

bool has_capability(const Files& files, unsigned number) {
  const std::string text = files.read_field("/proc/self/status", "CapEff").value_or("0");
  std::uint64_t effective = 0;
  std::from_chars(text.data(), text.data() + text.size(), effective, 16);
  const auto has = [effective](unsigned bit) { return (effective >> bit & 1) != 0; };
  return has(number) || (number == kCapabilityBpf && has(CAP_SYS_ADMIN));
}

Findings check_privileges(const Examination& examination) {
  const Needs needs = needs_of(examination.target, examination.files);
  std::string present, remedy_list;
  for (const Need& need : needs) {
    remedy_list += (remedy_list.empty() ? "" : ",") + lower(need.name);
    if (has_capability(examination.files, need.capability))
      present += (present.empty() ? "" : ", ") + std::string(need.name);
  }
  Findings findings;
  if (!present.empty()) findings.push_back(ok("privileges", present));
  for (const Need& need : needs) {
    if (has_capability(examination.files, need.capability)) continue;
    findings.push_back({need.severity, "privileges", std::string("no ") + need.name + ": " + need.without,
                        "setcap " + remedy_list + "+ep " + own_program(examination.files)});
  }
  return findings;
}

Findings check_memlock(const Examination& examination) {
  const Target& target = examination.target;
  if (!target.uses_af_xdp() && target.kind != Kind::kPci) return {};
  constexpr std::uint64_t kEnough = 256ull << 20;
  const std::string limit =
      examination.files.read_field("/proc/self/limits", "Max locked memory").value_or("unlimited");
  if (limit.starts_with("unlimited") || has_capability(examination.files, CAP_IPC_LOCK))
    return {ok("memlock", "as much memory may be locked as is asked for")};
  std::uint64_t bytes = 0;
  std::from_chars(limit.data(), limit.data() + limit.size(), bytes);
  const std::string amount = std::to_string(bytes >> 10) + " KiB may be locked";
  if (bytes >= kEnough) return {ok("memlock", amount)};
  return {warn("memlock", amount + ": too little for the device's memory, which is then refused",
               "prlimit --pid $$ --memlock=unlimited:unlimited")};
}

}  // namespace millrace::doctor
