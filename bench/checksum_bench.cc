// What a checksum costs: the stack's sum and copy-and-sum beside a sum word by word and a plain memcpy, for
// an IPv4 header, a small packet, a full segment and a super-segment.
//
//     build/bench/checksum-bench [--benchmark_filter=REGEX]

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/checksum.h"

namespace {

/// Both buffers are 2 bytes off their alignment, as an IP header behind an Ethernet header is.
struct Buffers {
  explicit Buffers(const benchmark::State& state)
      : from(static_cast<std::size_t>(state.range(0)) + 2, 0x5b), to(from.size()) {}
  [[nodiscard]] std::span<const std::uint8_t> source() const { return std::span{from}.subspan(2); }
  [[nodiscard]] std::span<std::uint8_t> target() { return std::span{to}.subspan(2); }

  std::vector<std::uint8_t> from;
  std::vector<std::uint8_t> to;
};

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

/// RFC 1071 as it is written.
[[gnu::noinline]] std::uint16_t sum_word_by_word(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += std::uint32_t{bytes[i]} << 8 | bytes[i + 1];
  if (bytes.size() % 2 != 0) sum += std::uint32_t{bytes.back()} << 8;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void word_by_word(benchmark::State& state) {
  const Buffers buffers{state};
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(sum_word_by_word(buffers.source()));
  count_bytes(state);
}

void checksum(benchmark::State& state) {
  const Buffers buffers{state};
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(millrace::internet_checksum(buffers.source()));
  count_bytes(state);
}

void copy(benchmark::State& state) {
  Buffers buffers{state};
  const auto source = buffers.source();
  const auto target = buffers.target();
  for ([[maybe_unused]] auto _ : state) {
    std::memcpy(target.data(), source.data(), source.size());
    benchmark::DoNotOptimize(target.data());
    benchmark::ClobberMemory();
  }
  count_bytes(state);
}

void copy_then_checksum(benchmark::State& state) {
  Buffers buffers{state};
  const auto source = buffers.source();
  const auto target = buffers.target();
  for ([[maybe_unused]] auto _ : state) {
    std::memcpy(target.data(), source.data(), source.size());
    benchmark::DoNotOptimize(target.data());
    benchmark::ClobberMemory();
    benchmark::DoNotOptimize(millrace::internet_checksum(target));
  }
  count_bytes(state);
}

void copy_and_sum(benchmark::State& state) {
  Buffers buffers{state};
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(millrace::copy_and_sum(buffers.target(), buffers.source()));
    benchmark::ClobberMemory();
  }
  count_bytes(state);
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (const std::int64_t size : {20, 64, 1460, 65536}) benchmark->Arg(size);
}

BENCHMARK(word_by_word)->Apply(sizes);
BENCHMARK(checksum)->Apply(sizes);
BENCHMARK(copy)->Apply(sizes);
BENCHMARK(copy_then_checksum)->Apply(sizes);
BENCHMARK(copy_and_sum)->Apply(sizes);

}  // namespace

BENCHMARK_MAIN();
