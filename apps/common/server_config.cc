#include "common/server_config.h"

#include <algorithm>
#include <iostream>

#include <CLI/CLI.hpp>

#include "common/capture_setting.h"
#include "common/tcp_setting.h"

namespace millrace::apps {

using Shape = Setting::Shape;

const std::array<ConfigSetting<ServerConfig>, kServerSettings> server_settings{{
    {{"dev", Shape::kValue, "SPEC", "device to serve on: af_packet:veth1"},
     [](ServerConfig& config, const std::string& text) { config.stack.device = text; }},
    {{"addr", Shape::kValue, "ADDRESS/PREFIX", "our IPv4 address: 198.18.0.2/24"},
     [](ServerConfig& config, const std::string& text) { config.stack.address = text; }},
    {{"gw", Shape::kValue, "ADDRESS", "gateway to everywhere else"},
     [](ServerConfig& config, const std::string& text) { config.stack.gateway = text; }},
    {{"mtu", Shape::kValue, "BYTES", "largest IP packet, 576 to 65535; default the device's"},
     [](ServerConfig& config, const std::string& text) { config.stack.mtu = to_number(text, 576, 65535); }},
    {kCaptureSetting,
     [](ServerConfig& config, const std::string& text) { config.stack.capture.file = text; }},
    {kCaptureLimitSetting,
     [](ServerConfig& config, const std::string& text) { set_capture_limit(config.stack.capture, text); }},
    {kCaptureSnaplenSetting,
     [](ServerConfig& config, const std::string& text) { set_capture_snaplen(config.stack.capture, text); }},
    {{"busy_poll", Shape::kSwitch, "", "never sleep: lowest latency, one core burnt"},
     [](ServerConfig& config, const std::string& text) { config.stack.busy_poll = to_switch(text); }},
    {{"queues", Shape::kValue, "N",
      "queues of the device, each with a stack and a thread of its own, default 1; with --kernel, threads"},
     [](ServerConfig& config, const std::string& text) { config.stack.queues = to_number(text, 1, 64); }},
    {{"tx_batch", Shape::kValue, "N", "so many sends' frames may leave together; default 16"},
     [](ServerConfig& config, const std::string& text) { config.stack.tx_batch = to_number(text, 1, 1024); }},
    {kTcpSetting,
     [](ServerConfig& config, const std::string& text) { add_tcp_setting(config.stack.tcp, text); }},
}};

bool read_settings(CLI::App& app, int argc, char** argv, std::vector<Setting> settings,
                   const SettingReader::Apply& apply) {
  SettingReader reader(std::move(settings));
  reader.add_to(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    app.exit(done, std::cout, std::cerr);
    return false;
  } catch (const CLI::ParseError& error) {
    std::string line = error.what();
    std::replace(line.begin(), line.end(), '\n', ' ');
    throw SettingError(line);
  }
  reader.read(apply);
  return true;
}

void check(const ServerConfig& config) {
  if (config.kernel) return;
  if (config.stack.device.empty()) throw SettingError("no device: give --dev, such as --dev af_packet:veth1");
  if (config.stack.address.empty())
    throw SettingError("no address: give --addr, such as --addr 198.18.0.2/24");
}

}  // namespace millrace::apps
