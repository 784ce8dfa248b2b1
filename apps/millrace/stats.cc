// millrace stats: the counters of every running Millrace program, as nstat(8) prints the kernel's.

#include <fnmatch.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "command.h"
#include "instances.h"
#include "json_text.h"
#include "nstat_names.h"

namespace millrace::command {

namespace {

struct StatsOptions {
  bool zeros = false, json = false, per_process = false, no_operation = false;
  int pid = 0;
  std::vector<std::string> patterns;
};

/// The counters of one program, or the sums over all.
class Counters {
 public:
  explicit Counters(std::string title) : title_(std::move(title)) {}

  /// `full`: "tcp.TcpInSegs". What nstat knows goes by the name it has there.
  void add(std::string_view full, std::uint64_t value) {
    const std::size_t dot = full.find('.');
    const std::string_view bare = dot == std::string_view::npos ? full : full.substr(dot + 1);
    const std::size_t place = nstat_place(bare);
    const std::string_view name = place == std::string_view::npos ? full : bare;
    // Several interfaces have counters of one name; and in most answers a counter has the same place.
    if (next_ < entries_.size() && entries_[next_].name == name) {
      entries_[next_++].value += value;
      return;
    }
    const auto found = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& entry) { return entry.name == name; });
    if (found != entries_.end()) {
      found->value += value;
    } else {
      entries_.push_back({std::string(name), value, place});
    }
  }
  /// The next counter added is the first of another program's answer.
  void begin_answer() { next_ = 0; }
  /// nstat's names first, in its order; then ours as they came.
  void finish(const StatsOptions& options) {
    std::erase_if(entries_, [&](const Entry& entry) {
      const auto matches = [&](const std::string& pattern) {
        return fnmatch(pattern.c_str(), entry.name.c_str(), FNM_CASEFOLD) == 0;
      };
      return (entry.value == 0 && !options.zeros) ||
             (!options.patterns.empty() &&
              std::none_of(options.patterns.begin(), options.patterns.end(), matches));
    });
    std::stable_sort(entries_.begin(), entries_.end(),
                     [](const Entry& a, const Entry& b) { return a.place < b.place; });
  }

  void print() const {
    std::printf("#%s\n", title_.c_str());
    for (const Entry& entry : entries_)
      std::printf("%-31s %llu\n", entry.name.c_str(), static_cast<unsigned long long>(entry.value));
  }
  /// "title":{"name":value,...}
  void print_json() const {
    std::printf("%s:{", quoted_json(title_).c_str());
    const char* separator = "";
    for (const Entry& entry : entries_) {
      std::printf("%s\"%s\":%llu", separator, entry.name.c_str(),
                  static_cast<unsigned long long>(entry.value));
      separator = ",";
    }
    std::printf("}");
  }

 private:
  struct Entry {
    std::string name;
    std::uint64_t value = 0;
    std::size_t place = 0;
  };

  std::string title_;
  std::vector<Entry> entries_;
  std::size_t next_ = 0;
};

int run(const StatsOptions& options) {
  std::vector<Counters> sets;
  if (!options.per_process) sets.emplace_back("millrace");
  const Asked asked = ask("stats 1\n", options.pid, [&](const Instance& instance, std::string_view line) {
    if (line.empty()) {
      if (options.per_process) sets.emplace_back(instance.name + "[" + std::to_string(instance.pid) + "]");
      sets.back().begin_answer();
      return;
    }
    const Record stat(line);
    if (stat.kind() != "stat") return;
    for (const auto& [name, text] : stat.fields()) sets.back().add(name, stat.number(name));
  });
  for (Counters& counters : sets) counters.finish(options);
  if (options.json) {
    const char* separator = "{";
    for (const Counters& counters : sets) {
      std::printf("%s", separator);
      counters.print_json();
      separator = ",";
    }
    std::printf("%s}\n", sets.empty() ? "{" : "");
  } else {
    for (const Counters& counters : sets) counters.print();
  }
  std::fflush(stdout);
  return report_problems(asked, options.pid);
}

}  // namespace

void add_stats(CLI::App& parent, Action& action) {
  auto options = std::make_shared<StatsOptions>();
  CLI::App& app =
      add_command(parent, "stats", "print the counters of running Millrace programs, as nstat(8)");
  app.footer(
      "Prints totals over all programs, as nstat does over all of the kernel's sockets, since each program "
      "started (as nstat -a: nothing is kept between two calls). First the counters that nstat has, under "
      "its "
      "names; then Millrace's own, which have their room's name in front.");
  app.add_option("pattern", options->patterns, "only counters whose names match, such as 'Tcp*'");
  app.add_flag("-z,--zeros", options->zeros, "counters that are 0 too");
  app.add_flag("-j,--json", options->json, "as JSON");
  app.add_flag("-a,--ignore", options->no_operation, "no effect, as values are always absolute");
  app.add_flag("-s,--noupdate", options->no_operation, "no effect, as there is no history");
  app.add_flag("--per-process", options->per_process, "each program under a heading of its own");
  add_pid_option(app, options->pid);
  app.callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace millrace::command
