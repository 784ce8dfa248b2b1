#include "config.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <vector>

#include <CLI/CLI.hpp>

#include "common/capture_setting.h"
#include "common/settings.h"
#include "common/tcp_setting.h"
#include "numbers.h"

namespace millrace::kv {

namespace {

using apps::Setting;
using apps::SettingError;
using apps::to_number;
using apps::to_switch;
using Shape = Setting::Shape;

std::uint64_t to_memory(const std::string& text) {
  const auto bytes = parse_memory(text);
  if (!bytes) throw SettingError("must be a number of bytes, such as 100mb");
  return *bytes;
}

Eviction to_eviction(const std::string& text) {
  const auto eviction = parse_eviction(text);
  if (!eviction) throw SettingError("must be noeviction or allkeys-lru");
  return *eviction;
}

Sync to_sync(const std::string& text) {
  const auto sync = parse_sync(text);
  if (!sync) throw SettingError("must be always, everysec or no");
  return *sync;
}

struct KvSetting {
  Setting setting;
  void (*apply)(Config&, const std::string&);
};

const std::array kSettings{
    KvSetting{{"dev", Shape::kValue, "SPEC", "device to serve on: af_packet:veth1"},
              [](Config& config, const std::string& text) { config.dev = text; }},
    KvSetting{{"addr", Shape::kValue, "ADDRESS/PREFIX", "our IPv4 address: 198.18.0.2/24"},
              [](Config& config, const std::string& text) { config.addr = text; }},
    KvSetting{{"gw", Shape::kValue, "ADDRESS", "gateway to everywhere else"},
              [](Config& config, const std::string& text) { config.gw = text; }},
    KvSetting{{"port", Shape::kValue, "PORT", "TCP port, default 6379"},
              [](Config& config, const std::string& text) {
                config.port = static_cast<std::uint16_t>(to_number(text, 1, 65535));
              }},
    KvSetting{{"mtu", Shape::kValue, "BYTES", "largest IP packet, 576 to 65535; default the device's"},
              [](Config& config, const std::string& text) { config.mtu = to_number(text, 576, 65535); }},
    KvSetting{{"timeout", Shape::kValue, "SECONDS",
               "drop a peer that has not answered for so long, default 300; 0: never"},
              [](Config& config, const std::string& text) { config.timeout = to_number(text, 0, 86400); }},
    KvSetting{{"maxclients", Shape::kValue, "NUMBER", "clients at once, default 10000"},
              [](Config& config, const std::string& text) {
                config.limits.clients = to_number(text, 1, 10'000'000);
              }},
    KvSetting{{"maxmemory", Shape::kValue, "BYTES", "memory for data: 100mb; default 0: no limit"},
              [](Config& config, const std::string& text) { config.limits.memory = to_memory(text); }},
    KvSetting{{"maxmemory_policy", Shape::kValue, "POLICY",
               "at that limit refuse to grow (noeviction, the default), or evict what was not used for long "
               "(allkeys-lru)"},
              [](Config& config, const std::string& text) { config.limits.eviction = to_eviction(text); }},
    KvSetting{{"requirepass", Shape::kValue, "PASSWORD", "what clients must AUTH with"},
              [](Config& config, const std::string& text) { config.limits.password = text; }},
    KvSetting{{"store", Shape::kValue, "DIRECTORY", "keep the data there, so that they outlive the process"},
              [](Config& config, const std::string& text) { config.store = text; }},
    KvSetting{{"fsync", Shape::kValue, "WHEN",
               "what was written is on the disk before its answer (always), within a second (everysec, the "
               "default), or when the system likes (no)"},
              [](Config& config, const std::string& text) { config.sync = to_sync(text); }},
    KvSetting{apps::kCaptureSetting,
              [](Config& config, const std::string& text) { config.capture.file = text; }},
    KvSetting{apps::kCaptureLimitSetting,
              [](Config& config, const std::string& text) { apps::set_capture_limit(config.capture, text); }},
    KvSetting{
        apps::kCaptureSnaplenSetting,
        [](Config& config, const std::string& text) { apps::set_capture_snaplen(config.capture, text); }},
    KvSetting{{"busy_poll", Shape::kSwitch, "", "never sleep: lowest latency, one core burnt"},
              [](Config& config, const std::string& text) { config.busy_poll = to_switch(text); }},
    KvSetting{{"kernel", Shape::kSwitch, "",
               "serve on the kernel's sockets, to compare; --dev, --gw, --mtu and --tcp do not apply"},
              [](Config& config, const std::string& text) { config.kernel = to_switch(text); }},
    KvSetting{apps::kTcpSetting,
              [](Config& config, const std::string& text) { apps::add_tcp_setting(config.tcp, text); }},
};

constexpr const char* kFooter =
    "Each setting can also stand in the file given with --config (a line such as port = 6379, with _ for -) "
    "and in the\n"
    "environment (MILLRACE_PORT=6379). The command line comes first, then the environment, the file, and the "
    "default.\n"
    "SIGTERM, SIGINT or the command SHUTDOWN end the server.\n";

void check(const Config& config) {
  if (config.kernel) return;
  if (config.dev.empty()) throw SettingError("no device: give --dev, such as --dev af_packet:veth1");
  if (config.addr.empty()) throw SettingError("no address: give --addr, such as --addr 198.18.0.2/24");
}

template <typename Enum, std::size_t kCount>
std::optional<Enum> find_name(const std::array<std::pair<std::string_view, Enum>, kCount>& names,
                              std::string_view text) {
  for (const auto& [name, value] : names) {
    if (same_ignoring_case(name, text)) return value;
  }
  return std::nullopt;
}

template <typename Enum, std::size_t kCount>
std::string_view name_of(const std::array<std::pair<std::string_view, Enum>, kCount>& names, Enum wanted) {
  return std::find_if(names.begin(), names.end(), [&](const auto& pair) { return pair.second == wanted; })
      ->first;
}

constexpr std::array<std::pair<std::string_view, Eviction>, 2> kEvictions{
    {{"noeviction", Eviction::kNone}, {"allkeys-lru", Eviction::kLeastRecentlyUsed}}};
constexpr std::array<std::pair<std::string_view, Sync>, 3> kSyncs{
    {{"always", Sync::kAlways}, {"everysec", Sync::kEverySecond}, {"no", Sync::kNo}}};

}  // namespace

std::optional<Eviction> parse_eviction(std::string_view text) {
  return find_name(kEvictions, text);
}
std::string_view to_text(Eviction eviction) {
  return name_of(kEvictions, eviction);
}
std::optional<Sync> parse_sync(std::string_view text) {
  return find_name(kSyncs, text);
}
std::string_view to_text(Sync sync) {
  return name_of(kSyncs, sync);
}

std::optional<Config> read_config(int argc, char** argv) {
  CLI::App app("Key-value server on the Millrace stack; speaks the protocol of Redis.", "millrace-kv");
  app.footer(kFooter);
  app.set_version_flag("--version", MILLRACE_VERSION);
  std::vector<Setting> settings;
  settings.reserve(kSettings.size());
  for (const KvSetting& one : kSettings) settings.push_back(one.setting);
  apps::SettingReader reader(std::move(settings));
  reader.add_to(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    app.exit(done, std::cout, std::cerr);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    std::string line = error.what();
    std::replace(line.begin(), line.end(), '\n', ' ');
    throw SettingError(line);
  }
  Config config;
  reader.read([&](std::size_t index, const std::string& value) { kSettings[index].apply(config, value); });
  check(config);
  return config;
}

}  // namespace millrace::kv
