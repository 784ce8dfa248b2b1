#include "packetdrill/profile.h"

#include <charconv>
#include <fstream>
#include <optional>
#include <vector>

#include "tcp/settings.h"

namespace millrace::packetdrill {

namespace {

/// Where packetdrill by itself looks for the stack, but for the host part, which it draws: to be given as
/// --local_ip.
constexpr std::string_view kLocal = "192.168.1.1/16", kGateway = "192.168.0.1";

template <typename Integer>
bool read_number(std::string_view text, Integer& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

void be_linux(Profile& profile) {
  tcp::Config& tcp = profile.context.stack.tcp;
  tcp.window_scale = 8;
  tcp.option_order = wire::TcpOptions::Order::kLinux;
  tcp.push_super_segments = true;
  tcp.min_super_segments = 2;
  tcp.mtu_probing = tcp::Config::MtuProbing::kOff;  // the kernel's default, and FreeBSD's
}

void be_freebsd(Profile& profile) {
  tcp::Config& tcp = profile.context.stack.tcp;
  tcp.window_scale = 6;
  tcp.option_order = wire::TcpOptions::Order::kBsd;
  tcp.push_super_segments = false;
  tcp.min_super_segments = 0;
  tcp.receive_window_initial = 65536;
  tcp.receive_window_max = 65536;
  tcp.quick_acks = 0;
  profile.plain_buffer_sizes = true;
}

std::string apply_flag(std::string_view flag, Profile& profile) {
  const std::string quoted = "\"" + std::string(flag) + "\"";
  if (flag == "linux") {
    be_linux(profile);
    return "";
  }
  if (flag == "freebsd") {
    be_freebsd(profile);
    return "";
  }
  const std::size_t equals = flag.find('=');
  const std::string_view name = flag.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view{} : flag.substr(equals + 1);
  if (name == "mtu") {
    return read_number(value, profile.mtu) && profile.mtu >= 68 && profile.mtu <= 65535
               ? ""
               : quoted + " is not an MTU";
  }
  if (name == "local") {
    const std::optional<IpPrefix> prefix = IpPrefix::parse(value);
    if (!prefix) return quoted + " is not an address with a prefix length";
    profile.context.interface.addresses = {*prefix};
    return "";
  }
  if (name == "gateway") {
    profile.context.gateway = IpAddress::parse(value);
    return profile.context.gateway ? "" : quoted + " is not an address";
  }
  return quoted + " is neither a profile nor a setting";
}

struct Setting {
  const char* name;
  void (*set)(const std::string& text, Profile& profile);
};

/// Those of tcp::settings() that scripts change. What the stack cannot be set to says nothing here.
constexpr std::string_view kTcp = "net.ipv4.tcp_";
constexpr std::string_view kTcpSettings[] = {"timestamps",
                                             "sack",
                                             "window_scaling",
                                             "wmem",
                                             "ecn",
                                             "recovery",
                                             "fastopen",
                                             "base_mss",
                                             "min_tso_segs",
                                             "mtu_probing",
                                             "syn_retries",
                                             "synack_retries",
                                             "retries2",
                                             "orphan_retries",
                                             "fin_timeout",
                                             "keepalive_time",
                                             "keepalive_intvl",
                                             "keepalive_probes"};

constexpr Setting kSettings[] = {
    // What the stub of ip(8) tells of `ip route change`.
    {"route.mtu",
     [](const std::string& text, Profile& p) { read_number(std::string_view(text), p.route_mtu); }},
    {"route.initcwnd",
     [](const std::string& text, Profile& p) {
       read_number(std::string_view(text), p.context.stack.tcp.initial_window_segments);
     }},
    // FreeBSD's.
    {"net.inet.tcp.rfc1323",
     [](const std::string& text, Profile& p) {
       // 1: all of the RFC, 2: only scaled windows, 3: only timestamps.
       tcp::Config& tcp = p.context.stack.tcp;
       tcp.window_scaling = text == "1" || text == "2";
       tcp.timestamps = text == "1" || text == "3";
     }},
    {"net.inet.tcp.sack.enable",
     [](const std::string& text, Profile& p) { p.context.stack.tcp.sack = text != "0"; }},
    {"net.inet.tcp.cc.algorithm",
     [](const std::string& text, Profile& p) { p.congestion = text == "newreno" ? "reno" : text; }},
    {"net.ipv4.tcp_congestion_control", [](const std::string& text, Profile& p) { p.congestion = text; }},
};

std::vector<std::string> known_names() {
  std::vector<std::string> names;
  for (const std::string_view name : kTcpSettings) names.push_back(std::string(kTcp) + std::string(name));
  for (const Setting& setting : kSettings) names.emplace_back(setting.name);
  return names;
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\"'");
  const std::size_t last = text.find_last_not_of(" \t\"'");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

}  // namespace

std::string read_flags(std::string_view flags, Profile& profile) {
  profile.context.interface.addresses = {*IpPrefix::parse(kLocal)};
  profile.context.interface.probe_addresses = false;
  profile.context.gateway = IpAddress::parse(kGateway);
  profile.context.busy_poll = Duration::zero();
  profile.context.drain = Duration::zero();
  // packetdrill locks all memory.
  profile.context.stack.pool.bytes = std::size_t{64} << 20;
  be_linux(profile);
  while (!flags.empty()) {
    const std::size_t comma = flags.find(',');
    if (std::string error = apply_flag(flags.substr(0, comma), profile); !error.empty()) return error;
    flags = comma == std::string_view::npos ? std::string_view{} : flags.substr(comma + 1);
  }
  return "";
}

Sysctls kernel_sysctls() {
  Sysctls found;
  for (const std::string& name : known_names()) {
    std::string path = name;
    for (char& c : path) c = c == '.' ? '/' : c;
    std::ifstream file("/proc/sys/" + path);
    if (std::string line; std::getline(file, line)) found[name] = line;
  }
  return found;
}

Sysctls sysctls_of_file(const std::string& path) {
  Sysctls found;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) continue;
    std::string name = trimmed(line.substr(0, equals));
    for (char& c : name) c = c == '/' ? '.' : c;
    found[name] = trimmed(line.substr(equals + 1));
  }
  return found;
}

Discipline discipline_of_file(const std::string& path) {
  Discipline found;
  std::ifstream file(path);
  for (std::string word, before; file >> word; before = word) {
    if (word == "fq") found.paces = true;
    if (std::size_t packets = 0; before == "limit" && read_number(std::string_view(word), packets))
      found.limit = packets;
  }
  return found;
}

void apply_sysctls(const Sysctls& sysctls, Profile& profile) {
  for (const std::string_view name : kTcpSettings) {
    const auto found = sysctls.find(std::string(kTcp) + std::string(name));
    if (found == sysctls.end()) continue;
    static_cast<void>(tcp::apply_setting(std::string(name) + "=" + found->second, profile.context.stack.tcp));
  }
  for (const Setting& setting : kSettings) {
    if (const auto found = sysctls.find(setting.name); found != sysctls.end())
      setting.set(found->second, profile);
  }
}

}  // namespace millrace::packetdrill
