// Two whole stacks over the in-memory wire, both ends on one core: ns for a request of 64 bytes and its
// answer, bytes/s of one stream, connections/s.

#include <benchmark/benchmark.h>

#include "two_stacks.h"

namespace {

using millrace::bench::TwoStacks;

void request_answer(benchmark::State& state, bool checksum_offload) {
  TwoStacks stacks({.super_frames = true, .checksum_offload = checksum_offload});
  const auto connections = static_cast<std::size_t>(state.range(0));
  stacks.connect(connections);
  std::size_t next = 0;
  for (std::size_t i = 0; i < 2 * connections + 1000; ++i) stacks.request(i % connections, 64);
  for ([[maybe_unused]] auto _ : state) {
    stacks.request(next, 64);
    // A stride that is coprime to the usual counts: neighbours in the table do not help each other.
    next = (next + 7919) % connections;
  }
  state.SetItemsProcessed(state.iterations());
}

void BM_RequestAnswer64(benchmark::State& state) {
  request_answer(state, true);
}
BENCHMARK(BM_RequestAnswer64)->Arg(1)->Arg(1000)->Arg(10000);

void BM_RequestAnswer64SoftwareChecksum(benchmark::State& state) {
  request_answer(state, false);
}
BENCHMARK(BM_RequestAnswer64SoftwareChecksum)->Arg(1)->Arg(10000);

void bulk(benchmark::State& state, bool super_frames, bool checksum_offload) {
  TwoStacks stacks({.super_frames = super_frames, .checksum_offload = checksum_offload});
  stacks.connect(1);
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  stacks.bulk(kBytes);
  for ([[maybe_unused]] auto _ : state) stacks.bulk(kBytes);
  state.SetBytesProcessed(static_cast<std::int64_t>(kBytes) * state.iterations());
}

void BM_BulkSuperFrames(benchmark::State& state) {
  bulk(state, true, true);
}
BENCHMARK(BM_BulkSuperFrames);
void BM_BulkMtu1500(benchmark::State& state) {
  bulk(state, false, true);
}
BENCHMARK(BM_BulkMtu1500);
void BM_BulkMtu1500SoftwareChecksum(benchmark::State& state) {
  bulk(state, false, false);
}
BENCHMARK(BM_BulkMtu1500SoftwareChecksum);

void BM_ConnectClose(benchmark::State& state) {
  TwoStacks stacks({});
  for ([[maybe_unused]] auto _ : state) stacks.connect_and_close();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ConnectClose);

}  // namespace

BENCHMARK_MAIN();
