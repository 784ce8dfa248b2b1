// millrace settings: what --tcp, MILLRACE_TCP, the [tcp] table and mr_config.tcp take.

#include "tcp/settings.h"

#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>

#include "command.h"

namespace millrace::command {

namespace {

int print_settings() {
  const tcp::Config defaults;
  std::printf("%-24s%-22s%s\n", "name", "default", "what it is");
  for (const tcp::Setting& setting : tcp::settings()) {
    const std::string name(setting.name), value = tcp::value_of(setting, defaults);
    const std::string unit = setting.unit.empty() ? "" : ", in " + std::string(setting.unit);
    std::printf("%-24s%-22s%s (%s%s)\n", name.c_str(), value.c_str(), std::string(setting.meaning).c_str(),
                tcp::range_of(setting).c_str(), unit.c_str());
  }
  return 0;
}

}  // namespace

void add_settings(CLI::App& parent, Action& action) {
  CLI::App& app =
      add_command(parent, "settings", "Lists the values of TCP that can be set (--tcp NAME=VALUE)");
  app.footer(
      "Names, units and meanings are those of Linux's net.ipv4.tcp_ sysctls where there is one. A value is "
      "set "
      "by\n"
      "--tcp NAME=VALUE, MILLRACE_TCP=\"NAME=VALUE;NAME=VALUE\", a table [tcp] in the file given with "
      "--config, or "
      "the\n"
      "field tcp of mr_config.");
  app.callback([&action] { action = [] { return print_settings(); }; });
}

}  // namespace millrace::command
