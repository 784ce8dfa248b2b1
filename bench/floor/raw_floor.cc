// raw-floor: what a device itself costs, with nothing above it: the round trip of one frame, and the frames
// that fit through in one direction. Two of these at the ends of a wire are the floor of what any stack on
// that device can do.

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>

#include "histogram.h"
#include "open_device.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/pseudo_header.h"
#include "wire/tcp.h"

namespace millrace::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBurst = 64;
constexpr std::uint32_t kHeaders = 14 + 20 + 20;
constexpr std::uint32_t kMss = 1448;
constexpr auto kWarmUp = std::chrono::milliseconds(200);
/// A request that is not answered for so long was lost.
constexpr auto kLost = std::chrono::milliseconds(20);

volatile std::sig_atomic_t stopped = 0;

Instant stack_time() {
  return Instant(Clock::now().time_since_epoch());
}

struct Settings {
  std::string device;
  std::uint32_t size = 64;
  double seconds = 3;
};

struct Port {
  explicit Port(const Settings& settings) {
    drivers::OpenResult opened = drivers::open_device(settings.device);
    if (!opened.ok()) throw std::runtime_error(opened.error);
    device = std::move(opened.device);
    if (SlabSource* memory = device->slab_source(); memory != nullptr) pool.take_slabs_from(*memory);
  }
  std::size_t receive(PacketQueue& out) { return device->rx_burst(pool, out, kBurst, stack_time()); }
  void send(PacketQueue& out) {
    if (!out.empty()) device->tx_burst(out, stack_time());
  }

  std::unique_ptr<NetDevice> device;  // outlives the packets
  PacketPool pool;
};

/// The headers of a TCP segment of ours, so that devices treat the frame as what it stands for.
void write_headers(std::uint8_t* out, const MacAddress& from, const MacAddress& to, std::uint32_t payload) {
  wire::EthernetHeader{to, from, wire::kEtherTypeIpv4}.emit({out, 14});
  wire::Ipv4Header ip;
  ip.total_length = static_cast<std::uint16_t>(20 + 20 + payload);
  ip.dont_fragment = true;
  ip.ttl = 64;
  ip.protocol = wire::kProtocolTcp;
  ip.source = IpAddress::v4(198, 18, 0, 1);
  ip.destination = IpAddress::v4(198, 18, 0, 2);
  ip.emit({out + 14, 20});
  wire::TcpHeader tcp;
  tcp.source_port = 1;
  tcp.destination_port = 2;
  tcp.flags = wire::TcpFlags::kAck;
  tcp.checksum =
      wire::pseudo_header_sum(ip.source, ip.destination, wire::kProtocolTcp, 20 + payload).folded();
  tcp.emit({out + 34, 20});
}

/// `segments` of kMss in one frame, or `payload` bytes in an ordinary one.
PacketPtr make_frame(Port& port, const MacAddress& to, std::uint32_t payload, std::uint32_t segments) {
  PacketPtr packet = port.pool.allocate(kHeaders + (segments > 1 ? 0 : payload));
  if (!packet) return nullptr;
  write_headers(packet->put(kHeaders), port.device->mac(), to, payload);
  if (segments > 1) {
    BufferRef bytes = port.pool.allocate_buffer(payload);
    if (!bytes || !packet->append_fragment(std::move(bytes), 0, payload)) return nullptr;
    packet->offload.gso_size = kMss;
    packet->offload.gso_segs = static_cast<std::uint16_t>(segments);
  } else {
    std::memset(packet->put(payload), 0x5a, payload);
  }
  packet->offload.needs_checksum = true;
  packet->offload.checksum_start = 34;
  packet->offload.checksum_offset = 16;
  return packet;
}

/// A received frame goes back to where it came from.
void turn_around(Packet& packet, const MacAddress& own) {
  std::memcpy(packet.data(), packet.data() + 6, 6);
  std::memcpy(packet.data() + 6, own.bytes.data(), 6);
  if (packet.offload.rx_checksum == Offload::RxChecksum::kPartial) {
    packet.offload.needs_checksum = true;
    packet.offload.checksum_start = 34;
    packet.offload.checksum_offset = 16;
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

void ask(Port& port, const Settings& settings) {
  load::Histogram histogram;
  MacAddress peer = MacAddress::broadcast();
  std::uint64_t lost = 0;
  const auto start = Clock::now() + kWarmUp;
  const auto end =
      start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(settings.seconds));
  PacketQueue out, in;
  for (auto sent = Clock::now(); sent < end && stopped == 0; sent = Clock::now()) {
    PacketPtr frame = make_frame(port, peer, settings.size, 1);
    if (!frame) throw std::runtime_error("no memory for a frame");
    out.push_back(std::move(frame));
    port.send(out);
    while (port.receive(in) == 0 && Clock::now() - sent < kLost) {
    }
    const auto now = Clock::now();
    if (in.empty()) {
      ++lost;
      continue;
    }
    std::array<std::uint8_t, 6> source{};
    in.front().copy_out(6, source);
    peer = MacAddress{source};
    in.clear();
    if (sent >= start) histogram.add(static_cast<std::uint64_t>((now - sent).count()));
  }
  std::printf("round_trips=%llu p50_us=%.3f p99_us=%.3f lost=%llu\n",
              static_cast<unsigned long long>(histogram.count()), histogram.quantile(0.5) / 1e3,
              histogram.quantile(0.99) / 1e3, static_cast<unsigned long long>(lost));
}

/// As many frames as the device takes: super-frames where it takes those.
void flood(Port& port, const Settings& settings) {
  const DeviceCaps& caps = port.device->caps();
  const std::uint32_t segments = caps.tso && caps.scatter ? std::max(caps.max_gso_bytes / kMss, 1U) : 1;
  const PacketPtr model = make_frame(port, MacAddress::broadcast(), segments * kMss, segments);
  if (!model) throw std::runtime_error("no memory for a frame");
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(settings.seconds));
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
  const auto end =
      first + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(settings.seconds));
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
  app.add_option("--seconds", settings.seconds)->capture_default_str()->check(CLI::Range(0.1, 600.0));
  bool stats = false;
  app.add_flag("--stats", stats, "print the device's counters at the end");
  app.add_subcommand("echo", "sends every frame back until it is told to end");
  app.add_subcommand("ask", "one frame at a time, and its echo");
  app.add_subcommand("flood", "frames as fast as the device takes them, super-frames where it does");
  app.add_subcommand("sink", "counts what comes");
  CLI11_PARSE(app, argc, argv);
  Port port(settings);
  const std::string mode = app.get_subcommands().front()->get_name();
  if (mode == "echo") echo(port);
  if (mode == "ask") ask(port, settings);
  if (mode == "flood") flood(port, settings);
  if (mode == "sink") sink(port, settings);
  if (stats) print_stats(port);
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  const auto stop = [](int /*signal*/) { millrace::bench::stopped = 1; };
  std::signal(SIGTERM, stop);
  std::signal(SIGINT, stop);
  try {
    return millrace::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "raw-floor: %s\n", error.what());
    return 1;
  }
}
