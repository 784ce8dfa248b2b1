#include "open_device.h"

#include <algorithm>
#include <array>
#include <bit>

#include "af_packet/af_packet.h"
#include "device_spec.h"
#include "pipe/pipe_registry.h"

namespace millrace::drivers {
namespace {

constexpr std::string_view kKnownDrivers = "af_packet, pipe";
constexpr std::array<std::string_view, 5> kDriversElsewhere{"dpdk", "xdp", "af_xdp", "tap", "pcap"};

OpenResult failed(std::string error) {
  return {nullptr, std::move(error)};
}

OpenResult open_af_packet(const SpecLayer& layer) {
  AfPacketConfig config;
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

}  // namespace

OpenResult open_device(std::string_view spec, const DeviceOptions& options) {
  SpecLayer layer;
  if (std::string error = parse_spec_layer(spec, layer); !error.empty()) return failed(std::move(error));
  if (layer.driver == "af_packet") return open_af_packet(layer);
  if (layer.driver == "pipe") return open_pipe(layer, options);
  const bool elsewhere =
      std::find(kDriversElsewhere.begin(), kDriversElsewhere.end(), layer.driver) != kDriversElsewhere.end();
  return failed("device \"" + std::string(spec) + "\": " +
                (elsewhere ? "driver \"" + layer.driver + "\" is not built into this version"
                           : "unknown driver \"" + layer.driver + "\"") +
                "; there are: " + std::string(kKnownDrivers));
}

}  // namespace millrace::drivers
