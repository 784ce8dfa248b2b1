#include "config.h"

#include <array>

#include <CLI/CLI.hpp>

#include "common/server_config.h"

namespace millrace::echo {

namespace {

using apps::Setting;
using apps::to_number;
using apps::to_switch;
using Shape = Setting::Shape;

std::uint16_t to_port(const std::string& text) {
  return static_cast<std::uint16_t>(to_number(text, 1, 65535));
}

using EchoSetting = apps::ConfigSetting<Config>;

const std::array kSettings{
    EchoSetting{{"port", Shape::kValue, "PORT", "echo over TCP and UDP, default 7"},
                [](Config& config, const std::string& text) { config.port = to_port(text); }},
    EchoSetting{
        {"discard_port", Shape::kValue, "PORT", "also a TCP server that reads and says nothing (RFC 863)"},
        [](Config& config, const std::string& text) { config.discard_port = to_port(text); }},
    EchoSetting{{"chargen_port", Shape::kValue, "PORT", "also a TCP server that sends without end (RFC 864)"},
                [](Config& config, const std::string& text) { config.chargen_port = to_port(text); }},
    EchoSetting{{"timeout", Shape::kValue, "SECONDS",
                 "drop a peer that has not answered for so long, default 120; 0: never"},
                [](Config& config, const std::string& text) { config.timeout = to_number(text, 0, 86400); }},
    EchoSetting{
        {"drain", Shape::kValue, "SECONDS", "let connections finish for so long after SIGTERM, default 5"},
        [](Config& config, const std::string& text) { config.drain = to_number(text, 0, 3600); }},
    EchoSetting{{"stats", Shape::kOptionalValue, "SECONDS",
                 "print counters at the end and every so often, default 10", "10"},
                [](Config& config, const std::string& text) { config.stats = to_number(text, 0, 86400); }},
    EchoSetting{{"zero_copy", Shape::kSwitch, "",
                 "discard and character generator copy nothing: mr_recv_zc, mr_send_zc"},
                [](Config& config, const std::string& text) { config.zero_copy = to_switch(text); }},
    EchoSetting{{"kernel", Shape::kSwitch, "",
                 "serve on the kernel's sockets, to compare; only --addr and ports apply"},
                [](Config& config, const std::string& text) { config.kernel = to_switch(text); }},
};

constexpr const char* kFooter =
    "Each setting can also stand in the file given with --config (a line such as port = 7, with _ for -) and "
    "in the\n"
    "environment (MILLRACE_PORT=7). The command line comes first, then the environment, the file, and the "
    "default.\n"
    "SIGTERM or SIGINT: accept no more, let connections finish, end. SIGUSR1: print the counters.\n";

}  // namespace

std::optional<Config> read_config(int argc, char** argv) {
  CLI::App app("Echo server over TCP and UDP on the Millrace stack.", "millrace-echo");
  app.footer(kFooter);
  app.set_version_flag("--version", MILLRACE_VERSION);
  std::optional<Config> config = apps::read_server_config<Config>(app, argc, argv, kSettings);
  if (config && config->kernel && config->zero_copy)
    throw apps::SettingError("zero_copy is of the stack alone: leave it or kernel out");
  return config;
}

}  // namespace millrace::echo
