#include "open_device.h"

#include <algorithm>
#include <array>
#include <bit>

#include "af_packet/af_packet.h"
#include "device_spec.h"
#include "fault/fault.h"
#include "pipe/pipe_registry.h"

namespace millrace::drivers {
namespace {

constexpr std::string_view kKnownDrivers = "af_packet, pipe, fault";
constexpr std::array<std::string_view, 5> kDriversElsewhere{"dpdk", "xdp", "af_xdp", "tap", "pcap"};

OpenResult failed(std::string error) {
  return {nullptr, std::move(error)};
}

OpenResult open_af_packet(const SpecLayer& layer, const DeviceOptions& options) {
  AfPacketConfig config;
  config.rx.shared_file = options.shared_file;
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
  result.device = pipes.open(layer.rest, configured ? std::optional(pipe) : std::nullopt,
                             own_mac ? std::optional(mac) : std::nullopt, result.error);
  return result;
}

/// The options of one direction (`prefix` "rx." or "tx.") or of both ("").
void read_impairment(OptionReader& reader, const std::string& prefix, ImpairmentOptions& direction) {
  std::uint64_t gap = direction.gap;
  std::uint64_t queue = direction.queue;
  reader.probability(prefix + "loss", direction.loss);
  reader.probability(prefix + "duplicate", direction.duplicate);
  reader.probability(prefix + "corrupt", direction.corrupt);
  reader.probability(prefix + "reorder", direction.reorder);
  reader.number(prefix + "gap", gap, 1, 1000);
  reader.duration(prefix + "hold", direction.hold, 10s);
  reader.duration(prefix + "delay", direction.delay, 60s);
  reader.duration(prefix + "jitter", direction.jitter, 60s);
  reader.rate(prefix + "rate", direction.rate);
  reader.number(prefix + "queue", queue, 1, 100'000);
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
  OpenResult inner = open_device(layer.rest, options);
  if (!inner.ok()) return inner;
  return {std::make_unique<FaultDevice>(std::move(inner.device), fault), {}};
}

}  // namespace

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

OpenResult open_device(std::string_view spec, const DeviceOptions& options) {
  SpecLayer layer;
  if (std::string error = parse_spec_layer(spec, layer); !error.empty()) return failed(std::move(error));
  if (layer.driver == "af_packet") return open_af_packet(layer, options);
  if (layer.driver == "pipe") return open_pipe(layer, options);
  if (layer.driver == "fault") return open_fault(spec, layer, options);
  const bool elsewhere =
      std::find(kDriversElsewhere.begin(), kDriversElsewhere.end(), layer.driver) != kDriversElsewhere.end();
  return failed("device \"" + std::string(spec) + "\": " +
                (elsewhere ? "driver \"" + layer.driver + "\" is not built into this version"
                           : "unknown driver \"" + layer.driver + "\"") +
                "; there are: " + std::string(kKnownDrivers));
}

}  // namespace millrace::drivers
