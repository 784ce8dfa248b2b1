// What a packet costs: the operations each layer does on every one, on a warm pool.

#include <benchmark/benchmark.h>

#include <cstdint>

#include "link/gro.h"
#include "link/gso.h"
#include "packet/pool.h"
#include "tcp_frame.h"

namespace millrace {
namespace {

constexpr std::uint32_t kFrame = 1514;

void AllocateAndFree(benchmark::State& state) {
  PacketPool pool;
  const auto room = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    PacketPtr packet = pool.allocate(room);
    benchmark::DoNotOptimize(packet.get());
  }
}
BENCHMARK(AllocateAndFree)->Arg(64)->Arg(1514)->Arg(65536);

void AllocateAndFreeBuffer(benchmark::State& state) {
  PacketPool pool;
  for (auto _ : state) {
    BufferRef buffer = pool.allocate_buffer(kFrame);
    benchmark::DoNotOptimize(buffer.get());
  }
}
BENCHMARK(AllocateAndFreeBuffer);

/// A receive burst: packets taken in a row and given back in that order, so that more than one is in flight.
void AllocateAndFreeABurst(benchmark::State& state) {
  PacketPool pool;
  const auto count = static_cast<int>(state.range(0));
  for (auto _ : state) {
    PacketQueue queue;
    for (int i = 0; i < count; ++i) queue.push_back(pool.allocate(kFrame));
    while (PacketPtr packet = queue.pop_front()) benchmark::DoNotOptimize(packet.get());
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(AllocateAndFreeABurst)->Arg(64)->Arg(1024);

/// As for a retransmission: 54 bytes of headers copied, the payload shared.
void CloneAndFree(benchmark::State& state) {
  PacketPool pool;
  PacketPtr packet = pool.allocate(kFrame);
  packet->put(kFrame);
  for (auto _ : state) {
    PacketPtr copy = packet->clone(54, 64);
    benchmark::DoNotOptimize(copy.get());
  }
}
BENCHMARK(CloneAndFree);

/// As TCP sends: a header packet with a piece of the send queue behind it.
void AllocateAndAppendShared(benchmark::State& state) {
  PacketPool pool;
  BufferRef queue = pool.allocate_buffer(65536);
  for (auto _ : state) {
    PacketPtr packet = pool.allocate(54);
    packet->put(54);
    benchmark::DoNotOptimize(packet->append_fragment(queue, 1000, 1460));
  }
}
BENCHMARK(AllocateAndAppendShared);

/// As a driver receives: its own memory adopted, wrapped, a second slot appended.
void AdoptWrapAppendAndFree(benchmark::State& state) {
  PacketPool pool;
  static std::uint8_t slots[2][2048];
  const auto release = [](Buffer* buffer) {
    static_cast<PacketPool*>(buffer->owner())->free_external(buffer);
  };
  for (auto _ : state) {
    PacketPtr packet = pool.wrap(pool.adopt(slots[0], 2048, release, &pool), 0, kFrame);
    benchmark::DoNotOptimize(packet->append_fragment(pool.adopt(slots[1], 2048, release, &pool), 0, kFrame));
  }
}
BENCHMARK(AdoptWrapAppendAndFree);

void WrapAppendAndFree(benchmark::State& state) {
  PacketPool pool;
  BufferRef first = pool.allocate_buffer(2048);
  BufferRef second = pool.allocate_buffer(2048);
  for (auto _ : state) {
    PacketPtr packet = pool.wrap(first, 0, kFrame);
    benchmark::DoNotOptimize(packet->append_fragment(second, 0, kFrame));
  }
}
BENCHMARK(WrapAppendAndFree);

void SplitAndAppend(benchmark::State& state) {
  PacketPool pool;
  PacketPtr packet = pool.allocate(1);
  if (!packet->append_fragment(pool.allocate_buffer(kFrame), 0, kFrame)) state.SkipWithError("no memory");
  for (auto _ : state) {
    PacketPtr rest = packet->split(700);
    benchmark::DoNotOptimize(rest.get());
    benchmark::DoNotOptimize(packet->append(rest));
  }
}
BENCHMARK(SplitAndAppend);

/// 64 fragments in and out of a spill array.
void SixtyFourFragments(benchmark::State& state) {
  PacketPool pool;
  BufferRef buffer = pool.allocate_buffer(2048);
  for (auto _ : state) {
    PacketPtr packet = pool.allocate(54);
    for (std::uint32_t i = 0; i < Packet::kMaxFragments; ++i) {
      benchmark::DoNotOptimize(packet->append_fragment(buffer, 20 * i, 10));
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(Packet::kMaxFragments));
}
BENCHMARK(SixtyFourFragments);

// --- the offloads in software

constexpr std::uint32_t kSegments = 44;
constexpr std::uint32_t kMss = 1460;
constexpr std::uint32_t kHeaders = bench::kTcpHeaders;

PacketPtr super_frame(PacketPool& pool, const BufferRef& payload) {
  PacketPtr packet = pool.allocate(kHeaders);
  bench::write_tcp_headers(packet->put(kHeaders), {.seq = SeqNum{1}, .payload = kSegments * kMss});
  if (!packet->append_fragment(payload, 0, kSegments * kMss)) return nullptr;
  packet->offload.gso_size = kMss;
  bench::leave_tcp_checksum(packet->offload);
  return packet;
}

/// 64 KB into 44 frames; with 1, the checksums too.
void SegmentSuperFrame(benchmark::State& state) {
  PacketPool pool;
  BufferRef payload = pool.allocate_buffer(kSegments * kMss);
  for (auto _ : state) {
    PacketQueue out;
    benchmark::DoNotOptimize(link::segment(super_frame(pool, payload), out));
    if (state.range(0) == 1) {
      for (Packet& packet : out) benchmark::DoNotOptimize(link::complete_checksum(packet));
    }
  }
  state.SetItemsProcessed(state.iterations() * kSegments);
  state.SetBytesProcessed(state.iterations() * kSegments * kMss);
}
BENCHMARK(SegmentSuperFrame)->Arg(0)->Arg(1);

/// 44 frames into one packet; with 1, their checksums verified in software. Counts the allocation of the
/// frames.
void MergeFrames(benchmark::State& state) {
  PacketPool pool;
  link::Gro gro;
  const bool verify = state.range(0) == 1;
  BufferRef payload = pool.allocate_buffer(kSegments * kMss);
  PacketQueue frames;
  if (!link::segment(super_frame(pool, payload), frames, link::SegmentPayload::kCopy))
    state.SkipWithError("no memory");
  for (Packet& frame : frames) {
    if (!link::complete_checksum(frame)) state.SkipWithError("no memory");
    frame.pull(14);
  }
  for (auto _ : state) {
    PacketQueue out;
    for (Packet& frame : frames) {
      PacketPtr copy = frame.clone(40, 14);
      copy->offload.rx_checksum = verify ? Offload::RxChecksum::kUnknown : Offload::RxChecksum::kVerified;
      gro.add(std::move(copy), out);
    }
    gro.flush(out);
    if (out.size() != 1) state.SkipWithError("not merged");
  }
  state.SetItemsProcessed(state.iterations() * kSegments);
}
BENCHMARK(MergeFrames)->Arg(0)->Arg(1);

/// One small segment each of 16 connections, round and round: nothing to merge, the price of looking.
void GroFindsNothingToMerge(benchmark::State& state) {
  PacketPool pool;
  link::Gro gro;
  constexpr int kFlows = 16;
  PacketQueue frames;
  for (int i = 0; i < kFlows; ++i) {
    PacketPtr frame = pool.allocate(kHeaders + 64);
    bench::write_tcp_headers(frame->put(kHeaders + 64), {.seq = SeqNum{1}, .payload = 64});
    frame->data()[35] = static_cast<std::uint8_t>(i);
    frame->pull(14);
    frame->offload.rx_checksum = Offload::RxChecksum::kVerified;
    frames.push_back(std::move(frame));
  }
  for (auto _ : state) {
    PacketQueue out;
    while (PacketPtr frame = frames.pop_front()) gro.add(std::move(frame), out);
    gro.flush(out);
    frames.splice_back(out);
  }
  state.SetItemsProcessed(state.iterations() * kFlows);
}
BENCHMARK(GroFindsNothingToMerge);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
