// millrace-load: a client that measures an echo, discard or character generator server, and checks what comes
// back.

#include <sodium.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "common/process.h"
#include "load.h"

namespace {

using millrace::load::Options;
using millrace::load::Report;

struct Mode {
  const char* name;
  const char* what;
  bool (*run)(const Options&, Report&);
};

constexpr Mode kModes[] = {
    {"rr", "round trips: a request and its answer at a time on each connection, or --rate requests a second",
     millrace::load::run_round_trips},
    {"connect",
     "connections that are opened, send a request, read its answer and close, --connections at once",
     millrace::load::run_connections},
    {"bulk", "one stream: --direction send (to a discard port), receive (from a generator) or echo (hashed)",
     millrace::load::run_bulk},
    {"kv",
     "--command get or set of RESP2, --pipeline at once on each connection, of --keys that are set before",
     millrace::load::run_key_values},
    {"many", "connections at once, each sending --bytes of random data and hashing what comes back",
     millrace::load::run_many},
    {"udp", "datagrams and their echoes", millrace::load::run_udp},
    {"hold", "connections that say nothing for --seconds", millrace::load::run_hold},
    {"say", "one --text and its echo", millrace::load::run_say},
};

extern "C" void out_of_time(int /*signal*/) {
  constexpr char kText[] = "millrace-load: out of time\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kText, sizeof kText - 1);
  _exit(3);
}

void print_counter(const char* name, std::uint64_t value) {
  std::printf("stats %s %llu\n", name, static_cast<unsigned long long>(value));
}

int run(int argc, char** argv) {
  Options options;
  std::string host;
  std::vector<std::string> sources;
  std::uint16_t port = 7;
  unsigned time_limit = 120;
  bool json = false, stats = false;
  millrace::apps::StackSettings stack;

  CLI::App app("Measures an echo server over TCP or UDP and checks what comes back.", "millrace-load");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--host", host, "the server's IPv4 address")->required();
  app.add_option("--port", port, "the server's port")->capture_default_str();
  app.add_option("--source", sources,
                 "addresses that TCP connections come from in turn; each has its own ports")
      ->delimiter(',');
  app.add_option("--connections", options.connections)->capture_default_str()->check(CLI::Range(1, 1000000));
  app.add_option("--size", options.size, "bytes a request, or a write")->check(CLI::Range(1, 1 << 24));
  app.add_option("--bytes", options.bytes, "bytes a connection");
  app.add_option("--count", options.count, "requests; without it, --seconds bounds the run");
  app.add_option("--seconds", options.seconds)->capture_default_str()->check(CLI::Range(0.0, 3600.0));
  app.add_option("--rate", options.rate,
                 "rr: requests a second, at random moments; 0: each follows an answer")
      ->check(CLI::Range(0.0, 1e8));
  app.add_option("--pause", options.pause, "bulk echo: seconds before reading starts")
      ->check(CLI::Range(0.0, 3600.0));
  app.add_option("--seed", options.seed, "of the random data")->capture_default_str();
  app.add_option("--text", options.text, "what to say");
  app.add_option("--direction", options.direction)->check(CLI::IsMember({"send", "receive", "echo"}));
  app.add_option("--command", options.command, "kv: get or set")
      ->default_val("get")
      ->check(CLI::IsMember({"get", "set"}));
  app.add_option("--pipeline", options.pipeline, "kv: requests sent together")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app.add_option("--keys", options.keys, "kv: so many different ones")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000'000));
  app.add_option("--congestion", options.congestion, "the congestion control of TCP connections");
  app.add_option("--timeout", time_limit, "seconds after which the run ends as failed")
      ->capture_default_str()
      ->check(CLI::Range(1, 36000));
  app.add_option("--dev", stack.device, "run on the stack, on this device, instead of the kernel's sockets");
  app.add_option("--addr", stack.address, "the stack's address")->needs("--dev");
  app.add_option("--gw", stack.gateway, "the stack's gateway")->needs("--dev");
  app.add_option("--mtu", stack.mtu, "the stack's MTU")->needs("--dev");
  app.add_option("--tcp", stack.tcp,
                 "NAME=VALUE: of the stack's TCP (`millrace settings` lists them); may be repeated")
      ->needs("--dev")
      ->multi_option_policy(CLI::MultiOptionPolicy::Join)
      ->delimiter(';');
  app.add_flag("--stats", stats, "print the stack's counters when the connections are closed")
      ->needs("--dev");
  app.add_flag("--busy", options.busy, "spin instead of sleeping");
  app.add_flag("--turns", options.turns,
               "rr, connect, bulk, kv: measure when standard input says so: each line is the seconds of a "
               "turn, behind them its --rate if it has another, and is answered by a line of what it gave; "
               "at the end of input comes what all but the first gave");
  app.add_flag("--json", json, "print one JSON object");
  for (const Mode& mode : kModes) app.add_subcommand(mode.name, mode.what);
  CLI11_PARSE(app, argc, argv);

  const auto server = millrace::apps::make_address(host, port);
  if (!server) throw millrace::load::Failure("--host " + host + " is not an IPv4 address");
  options.server = *server;
  for (const std::string& source : sources) {
    const auto address = millrace::apps::make_address(source, 0);
    if (!address) throw millrace::load::Failure("--source " + source + " is not an IPv4 address");
    options.sources.push_back(*address);
  }
  const bool on_stack = !stack.device.empty();
  options.api = on_stack ? &millrace::apps::stack_sockets() : &millrace::apps::kernel_sockets();
  const std::string chosen = app.get_subcommands().front()->get_name();
  if (app.count("--size") == 0 && (chosen == "bulk" || chosen == "say")) options.size = 128 * 1024;
  if (options.direction == "echo" && options.size % 64 != 0) {
    throw millrace::load::Failure("--size must be a multiple of 64 for bulk --direction echo");
  }
  const bool may_have_turns = chosen == "rr" || chosen == "connect" || chosen == "kv" ||
                              (chosen == "bulk" && !options.direction.empty() && options.direction != "echo");
  if (options.turns && (!may_have_turns || options.count != 0 || options.bytes != 0)) {
    throw millrace::load::Failure(
        "--turns is for rr, connect, kv and bulk --direction send or receive, without --count and --bytes");
  }
  if (options.direction.empty()) options.direction = "echo";
  if (options.bytes == 0 && options.direction == "echo") options.bytes = 1'000'000;

  if (sodium_init() < 0) throw millrace::load::Failure("no source of randomness");
  millrace::apps::allow_many_descriptors();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGALRM, out_of_time);
  alarm(time_limit);

  stack.busy_poll = options.busy;
  if (on_stack) millrace::apps::start_stack(stack);
  Report report;
  report.add("mode", chosen);
  for (const Mode& mode : kModes) {
    if (chosen != mode.name) continue;
    const bool intact = mode.run(options, report);
    report.add("intact", std::string_view(intact ? "yes" : "no"));
    report.print(json);
    if (stats) millrace::apps::visit_stack_counters(print_counter);
    if (on_stack) millrace::apps::stop_stack();
    return intact ? 0 : 2;
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "millrace-load: %s\n", error.what());
    return 1;
  }
}
