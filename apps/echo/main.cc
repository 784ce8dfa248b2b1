// millrace-echo: TCP and UDP echo, with discard and character generator servers beside it, over the stack or,
// with --kernel, over the kernel's sockets in the very same loop.

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include "common/process.h"
#include "config.h"
#include "servers.h"

namespace {

using millrace::echo::Config;
using millrace::echo::Counters;

void print_counter(const char* name, std::uint64_t value) {
  std::printf("stats %s %llu\n", name, static_cast<unsigned long long>(value));
}

/// A block of lines "stats NAME VALUE", ended by "stats end".
void report(const Counters& counters) {
  print_counter("echo.Accepted", counters.accepted);
  print_counter("echo.Open", counters.open);
  print_counter("echo.BytesIn", counters.bytes_in);
  print_counter("echo.BytesOut", counters.bytes_out);
  print_counter("echo.SlowReaders", counters.blocked);
  print_counter("echo.PendingBytes", counters.pending_bytes);
  print_counter("echo.Errors", counters.reset);
  print_counter("echo.AcceptPaused", counters.refused);
  print_counter("echo.DatagramsIn", counters.datagrams_in);
  print_counter("echo.DatagramsOut", counters.datagrams_out);
  print_counter("echo.DatagramsDropped", counters.datagrams_dropped);
  millrace::apps::visit_stack_counters(print_counter);
  std::printf("stats end\n");
  std::fflush(stdout);
}

void announce(const Config& config) {
  std::string line = "millrace-echo: serving on " +
                     (config.kernel ? std::string("the kernel's sockets") : config.stack.device) +
                     (config.stack.address.empty() ? "" : " " + config.stack.address) + ": echo " +
                     std::to_string(config.port);
  if (config.discard_port) line += ", discard " + std::to_string(*config.discard_port);
  if (config.chargen_port) line += ", chargen " + std::to_string(*config.chargen_port);
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto config = millrace::echo::read_config(argc, argv);
    if (!config) return 0;
    millrace::apps::allow_many_descriptors();
    const millrace::apps::StackRun stack(!config->kernel, config->stack);
    {
      millrace::echo::Servers servers(
          config->kernel ? millrace::apps::kernel_sockets() : millrace::apps::stack_sockets(), *config,
          report);
      announce(*config);
      servers.run();
      if (config->stats != 0) servers.report();
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "millrace-echo: %s\n", error.what());
    return 1;
  }
}
