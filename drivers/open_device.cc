#include "open_device.h"

#include <algorithm>
#include <bit>

#include "af_packet/af_packet.h"
#include "af_xdp/config.h"
#include "device_spec.h"
#include "dpdk/config.h"
#include "fault/fault.h"
#include "pcap/pcap_device.h"
#include "pipe/pipe_registry.h"
#include "plugin.h"
#include "queues/steered_device.h"
#include "tap/tap.h"
#include "unique_fd.h"

namespace millrace::drivers {
namespace {

constexpr Plugin kXdp{"xdp", "af_xdp", "AF_XDP", "libxdp-dev libbpf-dev"};
constexpr Plugin kDpdk{"dpdk", "dpdk", "DPDK", "libdpdk-dev"};
constexpr std::string_view kKnownDrivers = "af_packet, xdp, tap, dpdk, pcap, pipe, fault";

OpenResult failed(std::string error) {
  return {nullptr, std::move(error)};
}

OpenResult open_layers(std::string_view spec, const DeviceOptions& options);

bool has_queues(std::string_view driver) {
  return driver == "af_packet" || driver == "xdp" || driver == "tap" || driver == "dpdk" ||
         driver == "pipe" || driver == "fault";
}

OpenResult open_af_packet(const SpecLayer& layer, const DeviceOptions& options) {
  AfPacketConfig config;
  config.rx.shared_file = options.shared_file;
  config.rx.queue = options.queue.index;
  config.fanout = options.queue.fanout;
  if (options.inherited.size() == 2) {
    config.rx.inherited = options.inherited[0];
    config.inherited_tx = options.inherited[1];
  }
  config.interface = layer.rest;
  std::uint64_t slots = config.rx.slots;
  MacAddress mac;
  OptionReader reader(layer);
  reader.number("slots", slots, 128, 65536);
  reader.mac("mac", mac);
  if (std::string error = reader.finish(); !error.empty()) return failed(std::move(error));
  config.rx.slots = std::bit_ceil(static_cast<std::uint32_t>(slots));
  if (reader.given("mac")) config.mac = mac;
  OpenResult result;
  result.device = AfPacketDevice::open(config, result.error);
  return result;
}

OpenResult open_xdp(const SpecLayer& layer, const DeviceOptions& options) {
  AfXdpConfig config;
  config.place = {options.queue.index, options.queue.count, options.queue.xdp_program};
  config.interface = layer.rest;
  std::uint64_t queue = config.queue, slots = config.slots, frames = config.frames;
  std::size_t mode = 0;
  MacAddress mac;
  OptionReader reader(layer);
  reader.number("queue", queue, 0, 1023);
  reader.number("slots", slots, 64, 32768);
  reader.number("frames", frames, 256, 1u << 20);
  reader.choice("mode", {"auto", "native", "generic"}, mode);
  reader.duration("busy_poll", config.busy_poll, 1s);
  reader.mac("mac", mac);
  if (std::string error = reader.finish(); !error.empty()) return failed(std::move(error));
  config.queue = static_cast<std::uint32_t>(queue);
  config.slots = std::bit_ceil(static_cast<std::uint32_t>(slots));
  // Both rings, and as much again to lend.
  config.frames = std::bit_ceil(std::max(static_cast<std::uint32_t>(frames), 4 * config.slots));
  config.mode = static_cast<AfXdpConfig::Mode>(mode);
  if (reader.given("mac")) config.mac = mac;
  OpenResult result;
  result.device = open_with(kXdp, config, result.error);
  return result;
}

OpenResult open_dpdk(const SpecLayer& layer, const DeviceOptions& options) {
  DpdkConfig config;
  config.queue = static_cast<std::uint16_t>(options.queue.index);
  config.queues = static_cast<std::uint16_t>(options.queue.count);
  config.memory_mb = DpdkConfig::kMemoryMb * options.queue.count;
  config.device = layer.rest;
  std::uint64_t rx_slots = config.rx_slots, tx_slots = config.tx_slots, pool = config.pool, mtu = config.mtu;
  MacAddress mac;
  OptionReader reader(layer);
  reader.text("eal", config.eal);
  reader.number("memory", config.memory_mb, 64, 1u << 20);
  reader.number("rx_slots", rx_slots, 64, 32768);
  reader.number("tx_slots", tx_slots, 64, 32768);
  reader.number("pool", pool, 0, 1u << 20);
  reader.number("mtu", mtu, 576, 65535 - 64);
  reader.mac("mac", mac);
  if (std::string error = reader.finish(); !error.empty()) return failed(std::move(error));
  config.rx_slots = std::bit_ceil(static_cast<std::uint32_t>(rx_slots));
  config.tx_slots = std::bit_ceil(static_cast<std::uint32_t>(tx_slots));
  config.pool = static_cast<std::uint32_t>(pool);
  config.mtu = static_cast<std::uint32_t>(mtu);
  if (reader.given("mac")) config.mac = mac;
  OpenResult result;
  result.device = open_with(kDpdk, config, result.error);
  return result;
}

OpenResult open_tap(const SpecLayer& layer, const DeviceOptions& options) {
  TapConfig config;
  if (options.inherited.size() == 1) config.inherited = options.inherited[0];
  config.interface = layer.rest;
  config.options.several_queues = options.queue.count > 1;
  std::uint64_t mtu = 0;
  MacAddress mac;
  OptionReader reader(layer);
  reader.mac("mac", mac);
  reader.number("mtu", mtu, 576, 65521);
  reader.ipv4_prefix("peer_address", config.options.peer_address);
  if (std::string error = reader.finish(); !error.empty()) return failed(std::move(error));
  config.options.mtu = static_cast<std::uint32_t>(mtu);
  if (reader.given("mac")) config.mac = mac;
  if (options.queue.index != 0) {  // the first one has set the interface up
    config.options.mtu = 0;
    config.options.peer_address.reset();
  }
  OpenResult result;
  result.device = TapDevice::open(config, result.error);
  return result;
}

OpenResult open_pcap(std::string_view spec, SpecLayer layer) {
  PcapConfig config;
  config.name = spec;
  // The name is options as well.
  if (std::string error = parse_options(spec, layer.rest, layer); !error.empty())
    return failed("pcap: \"" + layer.rest +
                  "\" are no options: write pcap:in=FILE,out=FILE, or one of the two");
  std::uint64_t mtu = config.mtu;
  OptionReader reader(layer);
  reader.text("in", config.in);
  reader.text("out", config.out);
  reader.flag("timing", config.timing);
  reader.duration("delay", config.delay, 60s);
  reader.number("loop", config.loop, 0, 1'000'000'000);
  reader.number("mtu", mtu, 576, 65535);
  reader.mac("mac", config.mac);
  if (std::string error = reader.finish(); !error.empty()) return failed(std::move(error));
  if (config.in.empty() && config.out.empty()) return failed("pcap: neither in=FILE nor out=FILE is given");
  config.mtu = static_cast<std::uint32_t>(mtu);
  OpenResult result;
  result.device = drivers::open_pcap(config, result.error);
  return result;
}

OpenResult open_pipe(const SpecLayer& layer, const DeviceOptions& options) {
  PipeOptions pipe;
  std::uint64_t mtu = pipe.mtu;
  std::uint64_t queue = pipe.queue;
  std::size_t overflow = 0;
  MacAddress mac;
  OptionReader reader(layer);
  reader.number("mtu", mtu, 68, 65535);
  reader.rate("rate", pipe.rate);
  reader.duration("delay", pipe.delay, 60s);
  reader.number("queue", queue, 1, 1'000'000);
  reader.choice("full", {"auto", "drop", "wait"}, overflow);
  reader.flag("tso", pipe.tso);
  reader.flag("csum", pipe.checksum_offload);
  reader.mac("mac", mac);
  if (std::string error = reader.finish(); !error.empty()) return failed(std::move(error));
  pipe.mtu = static_cast<std::uint32_t>(mtu);
  pipe.queue = queue;
  pipe.when_full = static_cast<PipeOptions::WhenFull>(overflow);
  const bool own_mac = reader.given("mac");
  const bool configured = layer.options.size() > (own_mac ? 1u : 0u);
  PipeRegistry& pipes = options.pipes != nullptr ? *options.pipes : process_pipes();
  OpenResult result;
  // A wire for each queue: both ends have as many.
  const std::string wire =
      options.queue.index == 0 ? layer.rest : layer.rest + "/" + std::to_string(options.queue.index);
  result.device = pipes.open(wire, configured ? std::optional(pipe) : std::nullopt,
                             own_mac ? std::optional(mac) : std::nullopt, result.error);
  return result;
}

/// The options of one direction (`prefix` "rx." or "tx.") or of both ("").
void read_impairment(OptionReader& reader, const std::string& prefix, ImpairmentOptions& direction) {
  std::uint64_t gap = direction.gap;
  std::uint64_t queue = direction.queue;
  std::uint64_t loss_from = direction.loss_from;
  reader.probability(prefix + "loss", direction.loss);
  reader.number(prefix + "loss_from", loss_from, 0, 65535);
  reader.probability(prefix + "duplicate", direction.duplicate);
  reader.probability(prefix + "corrupt", direction.corrupt);
  reader.probability(prefix + "reorder", direction.reorder);
  reader.number(prefix + "gap", gap, 1, 1000);
  reader.duration(prefix + "hold", direction.hold, 10s);
  reader.duration(prefix + "delay", direction.delay, 60s);
  reader.duration(prefix + "jitter", direction.jitter, 60s);
  reader.duration(prefix + "spread", direction.spread, 60s);
  reader.rate(prefix + "rate", direction.rate);
  reader.number(prefix + "queue", queue, 1, 100'000);
  reader.number(prefix + "queue_bytes", direction.queue_bytes, 0, 1'000'000'000);
  direction.loss_from = static_cast<std::uint32_t>(loss_from);
  direction.gap = static_cast<std::uint32_t>(gap);
  direction.queue = queue;
}

OpenResult open_fault(std::string_view spec, const SpecLayer& layer, const DeviceOptions& options) {
  FaultOptions fault;
  fault.name = spec;
  ImpairmentOptions both;
  OptionReader reader(layer);
  reader.number("seed", fault.seed, 0, ~std::uint64_t{0});
  read_impairment(reader, "", both);
  fault.rx = fault.tx = both;
  read_impairment(reader, "rx.", fault.rx);
  read_impairment(reader, "tx.", fault.tx);
  if (std::string error = reader.finish(); !error.empty()) return failed(std::move(error));
  OpenResult inner = open_layers(layer.rest, options);
  if (!inner.ok()) return inner;
  return {std::make_unique<FaultDevice>(std::move(inner.device), fault), {}};
}

OpenResult open_layers(std::string_view spec, const DeviceOptions& options) {
  SpecLayer layer;
  if (std::string error = parse_spec_layer(spec, layer); !error.empty()) return failed(std::move(error));
  if (options.queue.count > 1 && !has_queues(layer.driver))
    return failed("device \"" + std::string(spec) + "\" has one queue, not " +
                  std::to_string(options.queue.count) +
                  "; several queues have: af_packet, xdp, tap, dpdk, pipe");
  if (layer.driver == "af_packet") return open_af_packet(layer, options);
  if (layer.driver == "xdp") return open_xdp(layer, options);
  if (layer.driver == "dpdk") return open_dpdk(layer, options);
  if (layer.driver == "tap") return open_tap(layer, options);
  if (layer.driver == "pcap") return open_pcap(spec, layer);
  if (layer.driver == "pipe") return open_pipe(layer, options);
  if (layer.driver == "fault") return open_fault(spec, layer, options);
  return failed("device \"" + std::string(spec) + "\": unknown driver \"" + layer.driver +
                "\"; there are: " + std::string(kKnownDrivers));
}

}  // namespace

OpenResult open_device(std::string_view spec, const DeviceOptions& options) {
  OpenResult result = open_layers(spec, options);
  if (!result.ok() || options.capture.file.empty()) return result;
  result.device = CaptureDevice::open(std::move(result.device), options.capture, result.error);
  return result;
}

OpenQueuesResult open_queues(std::string_view spec, std::uint32_t count, const DeviceOptions& options) {
  OpenQueuesResult result;
  // Queues that record have one file, of which each has a descriptor of its own.
  UniqueFd file;
  if (count > 1 && !options.capture.file.empty() && options.capture.inherited < 0) {
    file = open_capture_file(options.capture, result.error);
    if (!file) return result;
  }
  const auto fanout = count > 1 ? std::make_shared<Fanout>(count) : nullptr;
  std::shared_ptr<XdpProgram> xdp_program;
  const std::size_t inherited = options.inherited.size() / count;
  std::vector<std::unique_ptr<NetDevice>> queues;
  for (std::uint32_t index = 0; index < count; ++index) {
    DeviceOptions own = options;
    own.queue = {index, count, fanout, &xdp_program};
    if (file) own.capture.inherited = file.get();
    const auto first = options.inherited.begin() + static_cast<std::ptrdiff_t>(index * inherited);
    own.inherited.assign(first, first + static_cast<std::ptrdiff_t>(inherited));
    OpenResult opened = open_device(spec, own);
    if (!opened.ok()) {
      result.error = std::move(opened.error);
      return result;
    }
    queues.push_back(std::move(opened.device));
  }
  result.queues = count > 1 ? steer(std::move(queues)) : std::move(queues);
  return result;
}

bool is_built_in(std::string_view driver) {
  constexpr std::string_view kSeparator = ", ";
  std::string_view left = kKnownDrivers;
  while (true) {
    const std::string_view one = left.substr(0, left.find(kSeparator));
    if (one == driver) return true;
    if (one.size() == left.size()) return false;
    left.remove_prefix(one.size() + kSeparator.size());
  }
}

bool can_hand_over(std::string_view spec) {
  SpecLayer layer;
  if (!parse_spec_layer(spec, layer).empty()) return true;  // opening it says what is wrong
  if (layer.driver == "fault") return can_hand_over(layer.rest);
  return layer.driver != "dpdk" && layer.driver != "xdp" && layer.driver != "pcap";
}

}  // namespace millrace::drivers
