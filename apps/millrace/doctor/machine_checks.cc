#include "doctor/machine_checks.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "doctor/cpu_list.h"

namespace millrace::doctor {

namespace {

using Kind = Target::Kind;
constexpr const char* kCpus = "/sys/devices/system/cpu/";

/// Polls its device without a pause while there is traffic.
bool polls(const Target& target) {
  return target.kind == Kind::kPci || target.kind == Kind::kVirtual;
}

std::pair<unsigned, unsigned> kernel_version(const Files& files) {
  const std::string text = files.read("/proc/sys/kernel/osrelease").value_or("");
  const char* const end = text.data() + text.size();
  std::pair<unsigned, unsigned> version{};
  const auto [stop, error] = std::from_chars(text.data(), end, version.first);
  if (error == std::errc{} && stop != end) std::from_chars(stop + 1, end, version.second);
  return version;
}

Finding check_tcx(const Files& files, const std::string& release) {
  if (!has_tcx(files)) {
    return ok("kernel", "Linux " + release +
                            ", without the tcx hook of 6.6: the kernel's own IP, too, looks at each "
                            "frame for the stack before it drops it");
  }
  return ok("kernel", "Linux " + release + ", whose tcx hook spares its IP the frames for the stack");
}

bool has_af_xdp(const Files& files) {
  return files.read_field("/proc/self/net/protocols", "XDP").has_value();
}

Finding check_xdp(const Files& files, const std::string& release) {
  if (has_af_xdp(files)) return ok("kernel", "Linux " + release + " has AF_XDP");
  return bad("kernel", "Linux " + release + " has no AF_XDP",
             "boot a kernel with CONFIG_XDP_SOCKETS=y (Debian's has it)");
}

Finding check_tun(const Files& files) {
  if (files.exists("/dev/net/tun")) return ok("/dev/net/tun", "is there");
  return bad("/dev/net/tun", "is not there: no TAP interface can be made", "modprobe tun");
}

/// The interrupts of a process called irqbalance, which walks them about.
bool irqbalance_runs(const Files& files) {
  const std::vector<std::string> entries = files.list("/proc");
  return std::any_of(entries.begin(), entries.end(), [&files](const std::string& entry) {
    return std::isdigit(static_cast<unsigned char>(entry.front())) != 0 &&
           files.read("/proc/" + entry + "/comm") == "irqbalance";
  });
}

std::set<unsigned> cpus_in(const Files& files, const char* name) {
  return parse_cpu_list(files.read(std::string(kCpus) + name).value_or(""));
}

}  // namespace

std::set<unsigned> isolated_cpus(const Files& files) {
  std::set<unsigned> cpus = cpus_in(files, "isolated");
  cpus.merge(cpus_in(files, "nohz_full"));
  return cpus;
}

bool has_tcx(const Files& files) {
  return kernel_version(files) >= std::pair(6u, 6u);
}

Findings check_driver(const Examination& examination) {
  if (examination.driver_built_in) return {};
  return {bad("driver", "\"" + examination.target.driver + "\" is not built into this version of Millrace",
              "millrace doctor  # says what else would do")};
}

Findings check_kernel(const Examination& examination) {
  const Files& files = examination.files;
  const Target& target = examination.target;
  const std::string release = files.read("/proc/sys/kernel/osrelease").value_or("of an unknown version");
  Findings findings;
  if (target.kind == Kind::kMachine || target.kind == Kind::kAfPacket)
    findings.push_back(check_tcx(files, release));
  if (target.uses_af_xdp()) findings.push_back(check_xdp(files, release));
  if (target.makes_tap()) findings.push_back(check_tun(files));
  if (target.kind == Kind::kMachine) {
    findings.push_back(
        ok("kernel", std::string(has_af_xdp(files) ? "AF_XDP" : "no AF_XDP") + ", " +
                         (files.exists("/dev/net/tun") ? "TAP (/dev/net/tun)" : "no /dev/net/tun") + ", " +
                         (files.exists("/dev/vhost-net") ? "vhost-net" : "no vhost-net")));
  }
  return findings;
}

Findings check_cpus(const Examination& examination) {
  const Files& files = examination.files;
  const std::set<unsigned> online = cpus_in(files, "online");
  const std::set<unsigned> isolated = isolated_cpus(files);
  std::string text = std::to_string(online.size()) + (online.size() == 1 ? " CPU" : " CPUs");
  if (online.size() <= 1) {
    return {
        ok("CPUs",
           text + (polls(examination.target) ? ": a device that polls shares it with everything else" : ""))};
  }
  if (!isolated.empty()) {
    const std::string list = format_cpu_list(isolated);
    return {ok("CPUs", text + ", of them isolated: " + list + "; a program gets there by taskset -c " +
                           std::to_string(*isolated.begin()))};
  }
  text += ", none isolated (isolcpus, nohz_full)";
  if (!polls(examination.target)) return {ok("CPUs", text)};
  const std::string last = std::to_string(*online.rbegin());
  return {warn("CPUs", text + ": other work on the CPU that polls costs latency",
               "add \"isolcpus=" + last + " nohz_full=" + last + " rcu_nocbs=" + last +
                   "\" to GRUB_CMDLINE_LINUX in /etc/default/grub; update-grub; reboot")};
}

Findings check_frequency(const Examination& examination) {
  const Files& files = examination.files;
  const std::string folder = std::string(kCpus) + "cpufreq";
  std::set<std::string> governors;
  for (const std::string& policy : files.list(folder)) {
    if (const auto governor = files.read(folder + "/" + policy + "/scaling_governor"))
      governors.insert(*governor);
  }
  if (governors.empty()) return {ok("frequency", "the system has no say in it (usual in a virtual machine)")};
  governors.erase("performance");
  if (governors.empty()) return {ok("frequency", "governor performance")};
  return {
      warn("frequency", "governor " + *governors.begin() + ": a CPU that was idle answers slowly at first",
           "for f in /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do echo performance >$f; done")};
}

Findings check_irqbalance(const Examination& examination) {
  const Target& target = examination.target;
  if (target.kind != Kind::kMachine && !target.on_interface()) return {};
  if (!irqbalance_runs(examination.files)) return {ok("irqbalance", "does not run")};
  return {warn("irqbalance", "runs, and moves interrupts to CPUs that should be left alone",
               "systemctl disable --now irqbalance")};
}

}  // namespace millrace::doctor
