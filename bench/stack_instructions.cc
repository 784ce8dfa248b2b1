// The same workloads as stack_bench, for counting instructions under callgrind (see instructions.sh): a fixed
// number of rounds behind a warm-up, so that two runs with different numbers give the cost of one round by
// subtraction.

#include <cstdlib>
#include <iostream>
#include <string>

#include "queues/pair.h"
#include "two_stacks.h"

namespace {

/// `rounds` requests through the socket calls, one on each connection in a round.
void through_sockets(std::size_t connections, std::size_t rounds) {
  using millrace::bench::Host;
  Host server("instructions", 1, "198.18.0.2/24"), client("instructions", 1, "198.18.0.1/24");
  millrace::bench::Pair pair(server, client, 0, static_cast<unsigned>(connections), 64);
  for (std::size_t i = 0; i < 100 + rounds; ++i) pair.exchange_all();
}

}  // namespace

int main(int argc, char** argv) {
  using millrace::bench::TwoStacks;
  if (argc != 4) {
    std::cerr << "usage: stack-instructions rr|connect|sockets CONNECTIONS ROUNDS\n";
    return 2;
  }
  const std::string workload = argv[1];
  const auto connections = static_cast<std::size_t>(std::strtoul(argv[2], nullptr, 10));
  const auto rounds = static_cast<std::size_t>(std::strtoul(argv[3], nullptr, 10));
  if (workload == "sockets" && connections != 0) {
    through_sockets(connections, rounds);
    return 0;
  }
  TwoStacks stacks({});
  if (workload == "rr" && connections != 0) {
    stacks.connect(connections);
    for (std::size_t i = 0; i < connections + 100; ++i) stacks.request(i % connections, 64);
    for (std::size_t i = 0; i < rounds; ++i) stacks.request(i * 7919 % connections, 64);
  } else if (workload == "connect") {
    for (std::size_t i = 0; i < 100 + rounds; ++i) stacks.connect_and_close();
  } else {
    std::cerr << "stack-instructions: unknown workload '" << workload << "'; rr, connect or sockets\n";
    return 2;
  }
  return 0;
}
