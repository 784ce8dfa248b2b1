// millrace-peer: one side of a conversation that the interop tests have, on the kernel's sockets or, with
// --dev, on the stack's. Exit status 0: this side saw what it expected.

#include <netinet/tcp.h>
#include <sodium.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>

#include "common/stack_api.h"
#include "scenarios.h"

namespace {

using millrace::apps::SocketApi;
using millrace::interop::Conversation;
using millrace::interop::Scenario;
using millrace::interop::Stage;
using millrace::interop::Unexpected;

extern "C" void out_of_time(int /*signal*/) {
  constexpr char kText[] = "millrace-peer: out of time\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kText, sizeof kText - 1);
  _exit(3);
}

void say(const char* what) {
  std::printf("%s\n", what);
  std::fflush(stdout);
}

void serve(Stage stage, const Scenario& scenario) {
  const SocketApi& api = stage.api;
  const int listener = api.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) millrace::interop::fail_with_errno("socket");
  if (millrace::apps::set_option(api, listener, SOL_SOCKET, SO_REUSEADDR, 1) != 0) {
    millrace::interop::fail_with_errno("SO_REUSEADDR");
  }
  if (api.bind(listener, reinterpret_cast<const sockaddr*>(&stage.server), sizeof stage.server) != 0) {
    millrace::interop::fail_with_errno("bind");
  }
  // Only clients that ask for it notice.
  if (millrace::apps::set_option(api, listener, IPPROTO_TCP, TCP_FASTOPEN, 16) != 0)
    millrace::interop::fail_with_errno("TCP_FASTOPEN");
  stage.listener = listener;
  if (api.listen(listener, 16) != 0) millrace::interop::fail_with_errno("listen");
  say("ready");
  sockaddr_in from{};
  socklen_t length = sizeof from;
  const int fd = api.accept4(listener, reinterpret_cast<sockaddr*>(&from), &length, SOCK_CLOEXEC);
  if (fd < 0) millrace::interop::fail_with_errno("accept");
  Conversation talk(api, fd);
  const sockaddr_in local = talk.name();
  if (local.sin_addr.s_addr != stage.server.sin_addr.s_addr || local.sin_port != stage.server.sin_port) {
    throw Unexpected("an accepted socket has the name " + millrace::apps::to_text(local));
  }
  scenario.server(stage, talk);
  talk.close();
  api.close(listener);
}

int run(int argc, char** argv) {
  std::string name, host;
  std::uint16_t port = 7;
  std::uint64_t bytes = 1'000'000;
  unsigned time_limit = 100;
  bool server = false, list = false;
  // What was sent last may still be on its way when this side is done: the peer must get it all the same.
  constexpr int kDrain = 60'000;
  millrace::apps::StackSettings stack{
      .device = {}, .address = {}, .gateway = {}, .tcp = {}, .drain_ms = kDrain};

  CLI::App app("One side of a conversation between two stacks.", "millrace-peer");
  app.add_option("scenario", name);
  app.add_flag("--list", list, "print the scenarios");
  app.add_flag("--server", server, "be the one that listens");
  app.add_option("--host", host, "the server's address");
  app.add_option("--port", port);
  app.add_option("--bytes", bytes);
  app.add_option("--timeout", time_limit);
  app.add_option("--dev", stack.device, "run on the stack with this device");
  app.add_option("--addr", stack.address);
  app.add_option("--gw", stack.gateway);
  app.add_option("--mtu", stack.mtu);
  CLI11_PARSE(app, argc, argv);

  if (list) {
    for (const Scenario& scenario : millrace::interop::scenarios()) {
      std::printf("%.*s %s\n", static_cast<int>(scenario.name.size()), scenario.name.data(),
                  scenario.server != nullptr ? "both" : "client");
    }
    return 0;
  }
  if (sodium_init() < 0) throw Unexpected("no source of randomness");
  const auto address = millrace::apps::make_address(host, port);
  if (!address) throw Unexpected("no such address: " + host);
  std::signal(SIGALRM, out_of_time);
  alarm(time_limit);

  for (const Scenario& scenario : millrace::interop::scenarios()) {
    if (scenario.name != name) continue;
    const bool on_stack = !stack.device.empty();
    if (on_stack) millrace::apps::start_stack(stack);
    const Stage stage{on_stack ? millrace::apps::stack_sockets() : millrace::apps::kernel_sockets(), *address,
                      bytes};
    if (server && scenario.server != nullptr) {
      serve(stage, scenario);
    } else {
      scenario.client(stage);
    }
    if (on_stack) millrace::apps::stop_stack();
    say("done");
    return 0;
  }
  throw Unexpected("no such scenario: " + name);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "millrace-peer: %s\n", error.what());
    return 1;
  }
}
