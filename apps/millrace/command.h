#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace millrace::command {

/// What a subcommand does once its options are read; returns the exit status. A std::exception that leaves it
/// is told in one line, and the status is 1.
using Action = std::function<int()>;

/// The words behind the first "--" of the command line, which no option parser has looked at.
std::vector<std::string>& words_after_dashes();

/// A subcommand is one file with a function of this shape, which main.cc lists: it adds its CLI::App with its
/// options, and sets `action` when it is the one that was asked for (in the App's callback).
using AddSubcommand = void (*)(CLI::App& parent, Action& action);

void add_doctor(CLI::App& parent, Action& action);
void add_run(CLI::App& parent, Action& action);
void add_settings(CLI::App& parent, Action& action);
void add_ss(CLI::App& parent, Action& action);
void add_stats(CLI::App& parent, Action& action);

/// What add_subcommand() of CLI11 does: where an App is made, all of that library's code is generated once
/// more.
CLI::App& add_command(CLI::App& parent, const char* name, const char* description);

/// The settings of one Millrace program that "--pid" limits a command to; 0: all.
CLI::Option* add_pid_option(CLI::App& app, int& pid);

}  // namespace millrace::command
