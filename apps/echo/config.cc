#include "config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <vector>

#include <CLI/CLI.hpp>

namespace millrace::echo {

namespace {

/// Why a value does not fit; the caller adds where it was found.
class BadValue : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

unsigned to_number(const std::string& text, unsigned low, unsigned high) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    throw BadValue("must be a number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

std::uint16_t to_port(const std::string& text) {
  return static_cast<std::uint16_t>(to_number(text, 1, 65535));
}

bool to_switch(const std::string& text) {
  if (text == "1" || text == "true" || text == "yes") return true;
  if (text == "0" || text == "false" || text == "no") return false;
  throw BadValue("must be true or false");
}

enum class Shape : std::uint8_t { kValue, kSwitch, kOptionalValue };

/// One thing that can be set, under the same name in every source: key in the file, --key, MILLRACE_KEY.
struct Setting {
  const char* key;
  Shape shape;
  const char* type;
  const char* help;
  void (*apply)(Config&, const std::string&);
};

constexpr const char* kDefaultStats = "10";

constexpr std::array kSettings{
    Setting{"dev", Shape::kValue, "SPEC", "device to serve on: af_packet:veth1",
            [](Config& config, const std::string& text) { config.dev = text; }},
    Setting{"addr", Shape::kValue, "ADDRESS/PREFIX", "our IPv4 address: 198.18.0.2/24",
            [](Config& config, const std::string& text) { config.addr = text; }},
    Setting{"gw", Shape::kValue, "ADDRESS", "gateway to everywhere else",
            [](Config& config, const std::string& text) { config.gw = text; }},
    Setting{"port", Shape::kValue, "PORT", "echo over TCP and UDP, default 7",
            [](Config& config, const std::string& text) { config.port = to_port(text); }},
    Setting{"discard_port", Shape::kValue, "PORT", "also a TCP server that reads and says nothing (RFC 863)",
            [](Config& config, const std::string& text) { config.discard_port = to_port(text); }},
    Setting{"chargen_port", Shape::kValue, "PORT", "also a TCP server that sends without end (RFC 864)",
            [](Config& config, const std::string& text) { config.chargen_port = to_port(text); }},
    Setting{"mtu", Shape::kValue, "BYTES", "largest IP packet, 576 to 65535; default the device's",
            [](Config& config, const std::string& text) { config.mtu = to_number(text, 576, 65535); }},
    Setting{"timeout", Shape::kValue, "SECONDS",
            "drop a peer that has not answered for so long, default 120; 0: never",
            [](Config& config, const std::string& text) { config.timeout = to_number(text, 0, 86400); }},
    Setting{"drain", Shape::kValue, "SECONDS", "let connections finish for so long after SIGTERM, default 5",
            [](Config& config, const std::string& text) { config.drain = to_number(text, 0, 3600); }},
    Setting{"stats", Shape::kOptionalValue, "SECONDS",
            "print counters at the end and every so often, default 10",
            [](Config& config, const std::string& text) { config.stats = to_number(text, 0, 86400); }},
    Setting{"busy_poll", Shape::kSwitch, "", "never sleep: lowest latency, one core burnt",
            [](Config& config, const std::string& text) { config.busy_poll = to_switch(text); }},
    Setting{"kernel", Shape::kSwitch, "",
            "serve on the kernel's sockets, to compare; only --addr and ports apply",
            [](Config& config, const std::string& text) { config.kernel = to_switch(text); }},
};

std::string flag_of(const Setting& setting) {
  std::string flag = std::string("--") + setting.key;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string variable_of(const char* key) {
  std::string name = std::string("MILLRACE_") + key;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? c - 32 : c; });
  return name;
}

void apply(Config& config, const Setting& setting, const std::string& value, const std::string& source) {
  try {
    setting.apply(config, value);
  } catch (const BadValue& problem) {
    throw ConfigError(source + ": \"" + value + "\" " + problem.what());
  }
}

/// The known key that is at most two typing mistakes away; null when none is.
const char* nearest_key(std::string_view wrong) {
  const auto distance = [&](std::string_view key) {
    std::vector<std::size_t> row(key.size() + 1);
    for (std::size_t i = 0; i <= key.size(); ++i) row[i] = i;
    for (std::size_t i = 0; i < wrong.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i + 1;
      for (std::size_t j = 0; j < key.size(); ++j) {
        const std::size_t change = diagonal + (wrong[i] == key[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({change, row[j] + 1, diagonal + 1});
      }
    }
    return row.back();
  };
  const auto best =
      std::min_element(kSettings.begin(), kSettings.end(),
                       [&](const Setting& a, const Setting& b) { return distance(a.key) < distance(b.key); });
  return distance(best->key) <= 2 ? best->key : nullptr;
}

void apply_file(Config& config, const std::string& path) {
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path)) throw ConfigError(path + ": cannot be read");
  std::stringstream content;
  content << file.rdbuf();
  if (file.bad() || content.bad()) throw ConfigError(path + ": cannot be read");
  toml::table table;
  try {
    table = toml::parse(content.str(), path);
  } catch (const toml::parse_error& error) {
    throw ConfigError(path + ":" + std::to_string(error.source().begin.line) + ": " +
                      std::string(error.description()));
  }
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string where = path + ":" + std::to_string(key.source().begin.line);
    const auto* setting = std::find_if(kSettings.begin(), kSettings.end(),
                                       [&](const Setting& known) { return name == known.key; });
    if (setting == kSettings.end()) {
      const char* meant = nearest_key(name);
      throw ConfigError(where + ": unknown key \"" + name + "\"" +
                        (meant != nullptr ? std::string("; did you mean \"") + meant + "\"?" : ""));
    }
    std::string text;
    if (const auto* string = node.as_string()) {
      text = string->get();
    } else if (const auto* integer = node.as_integer()) {
      text = std::to_string(integer->get());
    } else if (const auto* boolean = node.as_boolean()) {
      text = boolean->get() ? "true" : "false";
    } else {
      throw ConfigError(where + ": " + name + " must be a single value");
    }
    apply(config, *setting, text, where + ": " + name);
  }
}

std::string from_environment(const char* key) {
  const char* value = std::getenv(variable_of(key).c_str());
  return value != nullptr ? value : "";
}

constexpr const char* kFooter =
    "Each setting can also stand in the file given with --config (a line such as port = 7, with _ for -) and "
    "in the\n"
    "environment (MILLRACE_PORT=7). The command line comes first, then the environment, the file, and the "
    "default.\n"
    "SIGTERM or SIGINT: accept no more, let connections finish, end. SIGUSR1: print the counters.\n";

void check(const Config& config) {
  if (config.kernel) return;
  if (config.dev.empty()) throw ConfigError("no device: give --dev, such as --dev af_packet:veth1");
  if (config.addr.empty()) throw ConfigError("no address: give --addr, such as --addr 198.18.0.2/24");
}

}  // namespace

std::optional<Config> read_config(int argc, char** argv) {
  CLI::App app("Echo server over TCP and UDP on the Millrace stack.", "millrace-echo");
  app.footer(kFooter);
  app.set_version_flag("--version", MILLRACE_VERSION);
  std::array<std::vector<std::string>, kSettings.size()> given;
  std::array<CLI::Option*, kSettings.size()> options{};
  for (std::size_t i = 0; i < kSettings.size(); ++i) {
    const Setting& setting = kSettings[i];
    if (setting.shape == Shape::kSwitch) {
      options[i] = app.add_flag(flag_of(setting), setting.help);
      continue;
    }
    options[i] = app.add_option(flag_of(setting), given[i], setting.help)->type_name(setting.type);
    options[i]->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    options[i]->expected(setting.shape == Shape::kOptionalValue ? 0 : 1, 1);
  }
  std::string file = from_environment("config");
  app.add_option("--config", file, "settings from a TOML file")->type_name("FILE");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    app.exit(done, std::cout, std::cerr);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    std::string line = error.what();
    std::replace(line.begin(), line.end(), '\n', ' ');
    throw ConfigError(line);
  }

  Config config;
  if (!file.empty()) apply_file(config, file);
  for (const Setting& setting : kSettings) {
    const std::string value = from_environment(setting.key);
    if (!value.empty()) apply(config, setting, value, variable_of(setting.key));
  }
  for (std::size_t i = 0; i < kSettings.size(); ++i) {
    if (options[i]->count() == 0) continue;
    const Setting& setting = kSettings[i];
    const bool has_value = !given[i].empty() && !given[i].back().empty();
    const std::string implied = setting.shape == Shape::kSwitch ? "true" : kDefaultStats;
    apply(config, setting, has_value ? given[i].back() : implied, flag_of(setting));
  }
  check(config);
  return config;
}

}  // namespace millrace::echo
