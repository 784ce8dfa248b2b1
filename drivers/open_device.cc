#include "open_device.h"

#include <algorithm>
#include <array>
#include <bit>

#include "af_packet/af_packet.h"
#include "device_spec.h"

namespace millrace::drivers {
namespace {

constexpr std::string_view kKnownDrivers = "af_packet";
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

}  // namespace

OpenResult open_device(std::string_view spec, const DeviceOptions& options) {
  (void)options;
  SpecLayer layer;
  if (std::string error = parse_spec_layer(spec, layer); !error.empty()) return failed(std::move(error));
  if (layer.driver == "af_packet") return open_af_packet(layer);
  const bool elsewhere =
      std::find(kDriversElsewhere.begin(), kDriversElsewhere.end(), layer.driver) != kDriversElsewhere.end();
  return failed("device \"" + std::string(spec) + "\": " +
                (elsewhere ? "driver \"" + layer.driver + "\" is not built into this version"
                           : "unknown driver \"" + layer.driver + "\"") +
                "; there are: " + std::string(kKnownDrivers));
}

}  // namespace millrace::drivers
