// raw-floor: what a device itself costs, with nothing above it: the round trip of one frame, and the frames
// that fit through in one direction. Two of these at the ends of a wire are the floor of what any stack on
// that device can do.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>

#include "histogram.h"
#include "machine_cpu.h"
#include "port.h"
#include "program.h"
#include "tcp_frame.h"

namespace millrace::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBurst = Port::kBurst;
constexpr std::uint32_t kHeaders = kTcpHeaders;
constexpr std::uint32_t kMss = 1448;
constexpr auto kWarmUp = std::chrono::milliseconds(200);
/// A request that is not answered for so long was lost.
constexpr auto kLost = std::chrono::milliseconds(20);

struct Settings {
  std::string device;
  std::size_t window = 1;  ///< ask: frames that are out at once
  std::uint32_t size = 64;
  double seconds = 3;
};

/// `segments` of kMss in one frame, or `payload` bytes in an ordinary one.
PacketPtr make_frame(Port& port, const MacAddress& to, std::uint32_t payload, std::uint32_t segments) {
  PacketPtr packet = port.pool.allocate(kHeaders + (segments > 1 ? 0 : payload));
  if (!packet) return nullptr;
  // As a TCP segment, so that devices treat it as what it stands for.
  write_tcp_headers(packet->put(kHeaders), {.to = to, .from = port.device->mac(), .payload = payload});
  if (segments > 1) {
    BufferRef bytes = port.pool.allocate_buffer(payload);
    if (!bytes || !packet->append_fragment(std::move(bytes), 0, payload)) return nullptr;
    packet->offload.gso_size = kMss;
    packet->offload.gso_segs = static_cast<std::uint16_t>(segments);
  } else {
    std::memset(packet->put(payload), 0x5a, payload);
  }
  leave_tcp_checksum(packet->offload);
  return packet;
}

/// A received frame goes back to where it came from.
void turn_around(Packet& packet, const MacAddress& own) {
  std::memcpy(packet.data(), packet.data() + 6, 6);
  std::memcpy(packet.data() + 6, own.bytes.data(), 6);
  if (packet.offload.rx_checksum == Offload::RxChecksum::kPartial) {
    leave_tcp_checksum(packet.offload);
  }
}

void echo(Port& port) {
  std::puts("ready");
  std::fflush(stdout);
  PacketQueue frames;
  while (stopped == 0) {
    if (port.receive(frames) == 0) continue;
    for (Packet& packet : frames) turn_around(packet, port.device->mac());
    port.send(frames);
    frames.clear();
  }
}

/// A request, made for the peer that has been heard of.
PacketPtr make_request(Port& port, const Settings& settings, const MacAddress& peer) {
  PacketPtr frame = make_frame(port, peer, settings.size, 1);
  if (!frame) throw std::runtime_error("no memory for a frame");
  return frame;
}

MacAddress source_of(const Packet& frame) {
  std::array<std::uint8_t, 6> source{};
  frame.copy_out(6, source);
  return MacAddress{source};
}

Clock::time_point end_of(Clock::time_point start, const Settings& settings) {
  return start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(settings.seconds));
}

/// One frame at a time.
void ask(Port& port, const Settings& settings) {
  load::Histogram histogram;
  MacAddress peer = MacAddress::broadcast();
  std::uint64_t lost = 0;
  const auto start = Clock::now() + kWarmUp, end = end_of(start, settings);
  PacketQueue out, in;
  for (auto sent = Clock::now(); sent < end && stopped == 0; sent = Clock::now()) {
    out.push_back(make_request(port, settings, peer));
    port.send(out);
    while (port.receive(in) == 0 && Clock::now() - sent < kLost) {
    }
    const auto now = Clock::now();
    if (in.empty()) {
      ++lost;
      continue;
    }
    peer = source_of(in.front());
    in.clear();
    if (sent >= start) histogram.add(static_cast<std::uint64_t>((now - sent).count()));
  }
  std::printf("round_trips=%llu p50_us=%.3f p99_us=%.3f lost=%llu\n",
              static_cast<unsigned long long>(histogram.count()), histogram.quantile(0.5) / 1e3,
              histogram.quantile(0.99) / 1e3, static_cast<unsigned long long>(lost));
}

/// So many frames out at once: what the device can do for many connections.
void ask_many(Port& port, const Settings& settings) {
  MacAddress peer = MacAddress::broadcast();
  std::uint64_t lost = 0, answered = 0;
  std::size_t out_now = 0;
  const auto start = Clock::now() + kWarmUp, end = end_of(start, settings);
  auto heard = Clock::now();
  std::optional<load::MachineCpu> cpu;
  PacketQueue out, in;
  for (auto now = heard; now < end && stopped == 0; now = Clock::now()) {
    // Only one until the peer is known: a broadcast is not what is measured.
    const std::size_t window = peer == MacAddress::broadcast() ? 1 : settings.window;
    // Half of them at once: a call to the device for each frame is not the best that it can do.
    if (out_now <= window / 2) {
      for (; out_now < window; ++out_now) out.push_back(make_request(port, settings, peer));
    }
    port.send(out);
    const std::size_t came = port.receive(in);
    if (came == 0 && now - heard > kLost) {
      lost += out_now - out.size();
      out_now = out.size();
      heard = now;
    }
    if (came == 0) continue;
    heard = now;
    peer = source_of(in.front());
    in.clear();
    out_now -= std::min(out_now, came);
    if (now < start) continue;
    if (!cpu) cpu.emplace();
    answered += came;
  }
  const double each = answered == 0 ? 0 : cpu->seconds() * 1e6 / static_cast<double>(answered);
  std::printf("round_trips=%llu rate=%.3f cpu_us_each=%.3f lost=%llu\n",
              static_cast<unsigned long long>(answered), static_cast<double>(answered) / settings.seconds,
              each, static_cast<unsigned long long>(lost));
}

/// As many frames as the device takes: super-frames where it takes those.
void flood(Port& port, const Settings& settings) {
  const DeviceCaps& caps = port.device->caps();
  const std::uint32_t segments = caps.tso && caps.scatter ? std::max(caps.max_gso_bytes / kMss, 1U) : 1;
  const PacketPtr model = make_frame(port, MacAddress::broadcast(), segments * kMss, segments);
  if (!model) throw std::runtime_error("no memory for a frame");
  const auto end = end_of(Clock::now(), settings);
  PacketQueue out, in;
  while (Clock::now() < end && stopped == 0) {
    while (out.size() < kBurst) {
      PacketPtr copy = model->clone(segments > 1 ? kHeaders : kHeaders + kMss, 64);
      if (!copy) break;
      out.push_back(std::move(copy));
    }
    port.send(out);
    port.receive(in);
    in.clear();
  }
}

void sink(Port& port, const Settings& settings) {
  std::puts("ready");
  std::fflush(stdout);
  std::uint64_t bytes = 0;
  auto first = Clock::now(), last = first;
  const auto end = end_of(first, settings);
  PacketQueue in;
  for (auto now = first; now < end && stopped == 0; now = Clock::now()) {
    if (port.receive(in) == 0) continue;
    if (bytes == 0) first = now;
    last = now;
    for (const Packet& packet : in) bytes += packet.length();
    in.clear();
  }
  const double seconds = std::chrono::duration<double>(last - first).count();
  std::printf("bytes=%llu gbps=%.3f\n", static_cast<unsigned long long>(bytes),
              seconds > 0 ? static_cast<double>(bytes) * 8 / seconds / 1e9 : 0.0);
}

void print_stats(Port& port) {
  const DeviceStats stats = port.device->stats();
  std::printf(
      "rx_packets=%llu tx_packets=%llu rx_dropped=%llu rx_no_memory=%llu tx_errors=%llu tx_full=%llu\n",
      static_cast<unsigned long long>(stats.rx_packets), static_cast<unsigned long long>(stats.tx_packets),
      static_cast<unsigned long long>(stats.rx_dropped), static_cast<unsigned long long>(stats.rx_no_memory),
      static_cast<unsigned long long>(stats.tx_errors), static_cast<unsigned long long>(stats.tx_full));
  for (const auto& [name, value] : port.device->extended_stats()) {
    if (value != 0) std::printf("%s=%llu\n", name.c_str(), static_cast<unsigned long long>(value));
  }
}

int run(int argc, char** argv) {
  Settings settings;
  CLI::App app("What a device costs with no stack above it.", "raw-floor");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--dev", settings.device, "the device, as for the other programs")->required();
  app.add_option("--size", settings.size, "ask: bytes behind the headers")
      ->capture_default_str()
      ->check(CLI::Range(1, 1400));
  app.add_option("--window", settings.window, "ask: frames that are out at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app.add_option("--seconds", settings.seconds)->capture_default_str()->check(CLI::Range(0.1, 600.0));
  bool stats = false;
  app.add_flag("--stats", stats, "print the device's counters at the end");
  app.add_subcommand("echo", "sends every frame back until it is told to end");
  app.add_subcommand("ask", "one frame at a time, or --window of them, and their echoes");
  app.add_subcommand("flood", "frames as fast as the device takes them, super-frames where it does");
  app.add_subcommand("sink", "counts what comes");
  CLI11_PARSE(app, argc, argv);
  const IpPrefix addressee{TcpFrame{}.destination.address, 32};
  Port port(settings.device, {&addressee, 1});
  const std::string mode = app.get_subcommands().front()->get_name();
  if (mode == "echo") echo(port);
  if (mode == "ask" && settings.window == 1) ask(port, settings);
  if (mode == "ask" && settings.window > 1) ask_many(port, settings);
  if (mode == "flood") flood(port, settings);
  if (mode == "sink") sink(port, settings);
  if (stats) print_stats(port);
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  return millrace::bench::main_of("raw-floor", millrace::bench::run, argc, argv);
}
