// The same workloads as stack_bench, for counting instructions under callgrind (see instructions.sh): a fixed
// number of rounds behind a warm-up, so that two runs with different numbers give the cost of one round by
// subtraction.

#include <cstdlib>
#include <iostream>
#include <string>

#include "two_stacks.h"

int main(int argc, char** argv) {
  using millrace::bench::TwoStacks;
  if (argc != 4) {
    std::cerr << "usage: stack-instructions rr|connect CONNECTIONS ROUNDS\n";
    return 2;
  }
  const std::string workload = argv[1];
  const auto connections = static_cast<std::size_t>(std::strtoul(argv[2], nullptr, 10));
  const auto rounds = static_cast<std::size_t>(std::strtoul(argv[3], nullptr, 10));
  TwoStacks stacks({});
  if (workload == "rr" && connections != 0) {
    stacks.connect(connections);
    for (std::size_t i = 0; i < connections + 100; ++i) stacks.request(i % connections, 64);
    for (std::size_t i = 0; i < rounds; ++i) stacks.request(i * 7919 % connections, 64);
  } else if (workload == "connect") {
    for (std::size_t i = 0; i < 100 + rounds; ++i) stacks.connect_and_close();
  } else {
    std::cerr << "stack-instructions: unknown workload '" << workload << "'; rr or connect\n";
    return 2;
  }
  return 0;
}
