// millrace-crowd: very many idle connections to one server, from clients that only seem to be there.

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "crowd.h"
#include "program.h"

namespace millrace::bench {
namespace {

using Clock = Crowd::Clock;

constexpr auto kTimeForAnswers = std::chrono::seconds(2);

volatile std::sig_atomic_t to_acknowledge = 0;  ///< SIGUSR1

struct Times {
  double seconds = 60;      ///< to hold the connections, at most
  double to_connect = 120;  ///< that opening them may take
};

/// For printf.
unsigned long long number(std::uint64_t value) {
  return value;
}

Clock::time_point in(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

/// The clients sleep when the server is silent, so that its core has no neighbour.
void rest(Crowd& crowd) {
  if (!crowd.receive()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void connect_all(Crowd& crowd, double seconds) {
  const auto start = Clock::now(), end = in(seconds);
  while (!crowd.all_connected() && stopped == 0) {
    crowd.connect_some();
    crowd.receive();
    if (Clock::now() > end) {
      throw std::runtime_error("only " + std::to_string(crowd.counters().established) +
                               " connections were taken in time");
    }
  }
  std::printf("connected %llu seconds %.3f\n", number(crowd.counters().established),
              std::chrono::duration<double>(Clock::now() - start).count());
  std::fflush(stdout);
}

void hold(Crowd& crowd, double seconds) {
  bool acknowledging = false;
  for (const auto end = in(seconds); stopped == 0 && Clock::now() < end;) {
    if (to_acknowledge != 0) {
      to_acknowledge = 0;
      crowd.acknowledge_again();
      acknowledging = true;
    }
    if (!acknowledging) {
      rest(crowd);
      continue;
    }
    crowd.receive();
    acknowledging = crowd.acknowledge_some();
    if (!acknowledging) {
      std::printf("acknowledged %llu\n", number(crowd.counters().acknowledged));
      std::fflush(stdout);
    }
  }
}

/// A request and its answer on some of the connections: they are really there.
bool ask_some(Crowd& crowd, std::size_t connections, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    crowd.ask(i * connections / count);
    crowd.receive();
  }
  for (const auto end = Clock::now() + kTimeForAnswers; crowd.counters().answers < count;) {
    if (Clock::now() > end) return false;
    crowd.receive();
  }
  return crowd.counters().wrong == 0;
}

void report(const Crowd::Counters& counters, bool intact) {
  std::printf(
      "{\"connections\": %llu, \"resent\": %llu, \"acknowledged\": %llu, \"keepalives\": %llu, "
      "\"answers\": %llu, \"ended\": %llu, \"intact\": \"%s\"}\n",
      number(counters.established), number(counters.resent), number(counters.acknowledged),
      number(counters.keepalives), number(counters.answers), number(counters.ended), intact ? "yes" : "no");
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  CrowdSettings settings;
  Times times;
  std::string server, first = settings.first.to_string();
  std::uint16_t port = 7;
  std::size_t asked = 1000;
  CLI::App app("Very many idle connections to an echo server, from clients that only seem to be there.",
               "millrace-crowd");
  app.footer(
      "SIGUSR1: on all of them the last segment of the handshake is sent again, and a line says so. SIGTERM, "
      "or the end of --seconds: some are asked for an echo, all are reset, and a line of JSON is printed.");
  app.add_option("--dev", settings.device, "the device, as for the other programs")->required();
  app.add_option("--host", server, "the server's IPv4 address")->required();
  app.add_option("--port", port, "the server's port")->capture_default_str();
  app.add_option("--ports", settings.ports, "so many of the server's ports, filled one after the other")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--connections", settings.connections)
      ->capture_default_str()
      ->check(CLI::Range(1, 4'000'000));
  app.add_option("--first", first, "the first of the clients' addresses, which nobody else may have")
      ->capture_default_str();
  app.add_option("--addresses", settings.addresses, "so many of them")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  app.add_option("--rate", settings.rate,
                 "connections a second that are opened, acknowledged again, and reset, at most")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 1e6));
  app.add_option("--seconds", times.seconds, "to hold them, at most")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 600.0));
  app.add_option("--to-connect", times.to_connect, "seconds that opening them may take")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 600.0));
  app.add_option("--ask", asked, "on so many of them a request is sent in the end")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const auto server_address = IpAddress::parse(server), first_address = IpAddress::parse(first);
  if (!server_address || !server_address->is_v4()) throw std::runtime_error("--host is no IPv4 address");
  if (!first_address || !first_address->is_v4()) throw std::runtime_error("--first is no IPv4 address");
  settings.server = {*server_address, port};
  settings.first = *first_address;

  std::signal(SIGUSR1, [](int /*signal*/) { to_acknowledge = 1; });
  Crowd crowd(settings);
  connect_all(crowd, times.to_connect);
  hold(crowd, times.seconds);
  const bool intact = ask_some(crowd, settings.connections, std::min(asked, settings.connections));
  while (crowd.reset_some()) crowd.receive();
  report(crowd.counters(), intact);
  return intact ? 0 : 2;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::main_of("millrace-crowd", millrace::bench::run, argc, argv);
}
