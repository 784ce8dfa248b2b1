#include "command.h"

#include <CLI/CLI.hpp>

namespace millrace::command {

std::vector<std::string>& words_after_dashes() {
  static std::vector<std::string> words;
  return words;
}

CLI::App& add_command(CLI::App& parent, const char* name, const char* description) {
  return *parent.add_subcommand(name, description);
}

CLI::Option* add_pid_option(CLI::App& app, int& pid) {
  return app.add_option("--pid", pid, "only the program with this process id")
      ->type_name("PID")
      ->check(CLI::Range(1, 1 << 22));
}

}  // namespace millrace::command
