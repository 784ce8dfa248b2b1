// What stands in for the parts that need libpcap in a build without it.
#include "capture/packet_filter.h"
#include "pcap/pcap_device.h"

namespace millrace::drivers {

struct PacketFilter::Program {};

PacketFilter::PacketFilter() = default;
PacketFilter::PacketFilter(PacketFilter&&) noexcept = default;
PacketFilter& PacketFilter::operator=(PacketFilter&&) noexcept = default;
PacketFilter::~PacketFilter() = default;

std::string PacketFilter::compile(const std::string&) {
  return "a filter needs libpcap, and this build has none; install libpcap-dev and build again";
}

bool PacketFilter::matches(std::span<const std::uint8_t>, std::uint32_t) const {
  return true;
}

std::unique_ptr<NetDevice> open_pcap(const PcapConfig&, std::string& error) {
  error = "pcap: needs libpcap, and this build has none; install libpcap-dev and build again";
  return nullptr;
}

}  // namespace millrace::drivers
