#include "config.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <vector>

#include <CLI/CLI.hpp>

#include "common/capture_setting.h"
#include "common/settings.h"
#include "common/tcp_setting.h"

namespace millrace::echo {

namespace {

using apps::Setting;
using apps::to_number;
using apps::to_switch;
using Shape = Setting::Shape;

std::uint16_t to_port(const std::string& text) {
  return static_cast<std::uint16_t>(to_number(text, 1, 65535));
}

struct EchoSetting {
  Setting setting;
  void (*apply)(Config&, const std::string&);
};

const std::array kSettings{
    EchoSetting{{"dev", Shape::kValue, "SPEC", "device to serve on: af_packet:veth1"},
                [](Config& config, const std::string& text) { config.dev = text; }},
    EchoSetting{{"addr", Shape::kValue, "ADDRESS/PREFIX", "our IPv4 address: 198.18.0.2/24"},
                [](Config& config, const std::string& text) { config.addr = text; }},
    EchoSetting{{"gw", Shape::kValue, "ADDRESS", "gateway to everywhere else"},
                [](Config& config, const std::string& text) { config.gw = text; }},
    EchoSetting{{"port", Shape::kValue, "PORT", "echo over TCP and UDP, default 7"},
                [](Config& config, const std::string& text) { config.port = to_port(text); }},
    EchoSetting{
        {"discard_port", Shape::kValue, "PORT", "also a TCP server that reads and says nothing (RFC 863)"},
        [](Config& config, const std::string& text) { config.discard_port = to_port(text); }},
    EchoSetting{{"chargen_port", Shape::kValue, "PORT", "also a TCP server that sends without end (RFC 864)"},
                [](Config& config, const std::string& text) { config.chargen_port = to_port(text); }},
    EchoSetting{{"mtu", Shape::kValue, "BYTES", "largest IP packet, 576 to 65535; default the device's"},
                [](Config& config, const std::string& text) { config.mtu = to_number(text, 576, 65535); }},
    EchoSetting{{"timeout", Shape::kValue, "SECONDS",
                 "drop a peer that has not answered for so long, default 120; 0: never"},
                [](Config& config, const std::string& text) { config.timeout = to_number(text, 0, 86400); }},
    EchoSetting{
        {"drain", Shape::kValue, "SECONDS", "let connections finish for so long after SIGTERM, default 5"},
        [](Config& config, const std::string& text) { config.drain = to_number(text, 0, 3600); }},
    EchoSetting{{"stats", Shape::kOptionalValue, "SECONDS",
                 "print counters at the end and every so often, default 10", "10"},
                [](Config& config, const std::string& text) { config.stats = to_number(text, 0, 86400); }},
    EchoSetting{apps::kCaptureSetting,
                [](Config& config, const std::string& text) { config.capture.file = text; }},
    EchoSetting{
        apps::kCaptureLimitSetting,
        [](Config& config, const std::string& text) { apps::set_capture_limit(config.capture, text); }},
    EchoSetting{
        apps::kCaptureSnaplenSetting,
        [](Config& config, const std::string& text) { apps::set_capture_snaplen(config.capture, text); }},
    EchoSetting{{"busy_poll", Shape::kSwitch, "", "never sleep: lowest latency, one core burnt"},
                [](Config& config, const std::string& text) { config.busy_poll = to_switch(text); }},
    EchoSetting{{"kernel", Shape::kSwitch, "",
                 "serve on the kernel's sockets, to compare; only --addr and ports apply"},
                [](Config& config, const std::string& text) { config.kernel = to_switch(text); }},
    EchoSetting{apps::kTcpSetting,
                [](Config& config, const std::string& text) { apps::add_tcp_setting(config.tcp, text); }},
};

constexpr const char* kFooter =
    "Each setting can also stand in the file given with --config (a line such as port = 7, with _ for -) and "
    "in the\n"
    "environment (MILLRACE_PORT=7). The command line comes first, then the environment, the file, and the "
    "default.\n"
    "SIGTERM or SIGINT: accept no more, let connections finish, end. SIGUSR1: print the counters.\n";

void check(const Config& config) {
  if (config.kernel) return;
  if (config.dev.empty()) throw apps::SettingError("no device: give --dev, such as --dev af_packet:veth1");
  if (config.addr.empty()) throw apps::SettingError("no address: give --addr, such as --addr 198.18.0.2/24");
}

}  // namespace

std::optional<Config> read_config(int argc, char** argv) {
  CLI::App app("Echo server over TCP and UDP on the Millrace stack.", "millrace-echo");
  app.footer(kFooter);
  app.set_version_flag("--version", MILLRACE_VERSION);
  std::vector<Setting> settings;
  settings.reserve(kSettings.size());
  for (const EchoSetting& one : kSettings) settings.push_back(one.setting);
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
    throw apps::SettingError(line);
  }
  Config config;
  reader.read([&](std::size_t index, const std::string& value) { kSettings[index].apply(config, value); });
  check(config);
  return config;
}

}  // namespace millrace::echo
