#include "doctor/target.h"

#include "device_spec.h"
#include "dpdk/device_arguments.h"

namespace millrace::doctor {

namespace {

using drivers::SpecLayer;
using Kind = Target::Kind;

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> items;
  while (true) {
    const std::size_t comma = text.find(',');
    items.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

std::string parse_dpdk(const SpecLayer& layer, Target& target) {
  std::vector<std::string> items = split_at_commas(layer.rest);
  const std::string name = std::move(items.front());
  items.erase(items.begin());
  if (drivers::dpdk::is_pci_address(name)) {
    target.kind = Kind::kPci;
    target.pci = drivers::dpdk::with_whole_address(name);
    return {};
  }
  if (!name.starts_with("net_"))
    return "device \"" + target.spec + "\": \"" + name +
           "\" is neither a PCI address, such as 0000:3b:00.0, nor a virtual device, such as "
           "net_virtio_user0";
  target.kind = Kind::kVirtual;
  target.virtual_driver = name.substr(0, name.find_last_not_of("0123456789") + 1);
  target.virtual_arguments = std::move(items);
  target.interface = target.virtual_argument("iface");
  return {};
}

}  // namespace

std::string Target::virtual_argument(std::string_view name) const {
  for (const std::string& argument : virtual_arguments) {
    if (argument.starts_with(name) && argument.size() > name.size() && argument[name.size()] == '=')
      return argument.substr(name.size() + 1);
  }
  return {};
}

bool Target::needs_finished_checksums() const {
  return uses_af_xdp() || virtual_driver == "net_af_packet" || virtual_driver == "net_pcap";
}

bool Target::makes_tap() const {
  return kind == Kind::kTap || virtual_driver == "net_tap" ||
         (virtual_driver == "net_virtio_user" && virtual_argument("path") == "/dev/vhost-net");
}

bool Target::on_interface() const {
  if (kind == Kind::kVirtual) {
    // Others make an interface of that name, or a socket.
    return !interface.empty() && needs_finished_checksums();
  }
  return kind == Kind::kAfPacket || kind == Kind::kXdp;
}

std::string parse_target(std::string_view spec, Target& target) {
  target = {};
  target.spec = spec;
  if (spec.empty()) return {};
  SpecLayer layer{.driver = {}, .options = {}, .rest = std::string(spec)};
  do {
    const std::string outer = std::move(layer.rest);
    if (std::string error = drivers::parse_spec_layer(outer, layer); !error.empty()) return error;
  } while (layer.driver == "fault");
  target.driver = layer.driver;
  target.own_mac = drivers::OptionReader(layer).given("mac");
  if (layer.driver == "dpdk") return parse_dpdk(layer, target);
  static constexpr std::pair<std::string_view, Kind> kKinds[] = {
      {"af_packet", Kind::kAfPacket}, {"xdp", Kind::kXdp},     {"af_xdp", Kind::kXdp}, {"tap", Kind::kTap},
      {"pipe", Kind::kMemory},        {"pcap", Kind::kMemory},
  };
  for (const auto& [name, kind] : kKinds) {
    if (name != layer.driver) continue;
    target.kind = kind;
    if (kind != Kind::kMemory) target.interface = layer.rest;
    return {};
  }
  return "device \"" + target.spec + "\": unknown driver \"" + layer.driver +
         "\"; the doctor knows af_packet, xdp, tap, dpdk, pipe, pcap and fault";
}

}  // namespace millrace::doctor
