// millrace: the command. Each subcommand is one file and one line below.

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "command.h"

namespace {

using millrace::command::Action;
using millrace::command::AddSubcommand;

constexpr std::array<AddSubcommand, 5> kSubcommands{
    millrace::command::add_doctor, millrace::command::add_run,   millrace::command::add_settings,
    millrace::command::add_ss,     millrace::command::add_stats,
};

constexpr int kFailed = 1, kBadUsage = 2;

/// "ss, stats"
std::string names_of(const CLI::App& app) {
  std::string names;
  for (const CLI::App* subcommand : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!names.empty()) names += ", ";
    names += subcommand->get_name();
  }
  return names;
}

int complain(std::string line, int status) {
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::fprintf(stderr, "millrace: %s\n", line.c_str());
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Action action;
    CLI::App app("Looks into, and runs, programs whose sockets are Millrace's.", "millrace");
    app.set_version_flag("--version", "millrace " MILLRACE_VERSION);
    app.require_subcommand(0, 1);  // that there is none is told below, after what is there instead
    app.fallthrough(false);
    for (const AddSubcommand add : kSubcommands) add(app, action);
    // What follows "--" is another program's command line.
    const int ours = static_cast<int>(std::find(argv, argv + argc, std::string_view("--")) - argv);
    millrace::command::words_after_dashes().assign(argv + std::min(ours + 1, argc), argv + argc);
    try {
      app.parse(ours, argv);
    } catch (const CLI::Success& done) {
      return app.exit(done, std::cout, std::cerr);
    } catch (const CLI::ParseError& error) {
      return complain(std::string(error.what()) + " (see millrace --help)", kBadUsage);
    }
    if (!action) return complain("which command? " + names_of(app) + " (see millrace --help)", kBadUsage);
    return action();
  } catch (const std::exception& problem) {
    return complain(problem.what(), kFailed);
  }
}
