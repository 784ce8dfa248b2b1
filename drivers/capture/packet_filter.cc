#include "capture/packet_filter.h"

#include "pcap/libpcap.h"

namespace millrace::drivers {

struct PacketFilter::Program {
  const LibPcap* pcap = nullptr;
  bpf_program code{};

  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (pcap != nullptr) pcap->freecode(&code);
  }
};

PacketFilter::PacketFilter() = default;
PacketFilter::PacketFilter(PacketFilter&&) noexcept = default;
PacketFilter& PacketFilter::operator=(PacketFilter&&) noexcept = default;
PacketFilter::~PacketFilter() = default;

std::string PacketFilter::compile(const std::string& expression) {
  constexpr int kSnapLength = 262144;
  std::string error;
  const LibPcap* pcap = LibPcap::load(error);
  if (pcap == nullptr) return error;
  pcap_t* handle = pcap->open_dead(DLT_EN10MB, kSnapLength);
  if (handle == nullptr) return "out of memory";
  auto program = std::make_unique<Program>();
  if (pcap->compile(handle, &program->code, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) == 0) {
    program->pcap = pcap;
    program_ = std::move(program);
  } else {
    error = "filter \"" + expression + "\": " + pcap->error_of(handle);
  }
  pcap->close(handle);
  return error;
}

bool PacketFilter::matches(std::span<const std::uint8_t> bytes, std::uint32_t length) const {
  if (!program_) return true;
  pcap_pkthdr header{};
  header.caplen = static_cast<bpf_u_int32>(bytes.size());
  header.len = length;
  return program_->pcap->filter(&program_->code, &header, bytes.data()) != 0;
}

}  // namespace millrace::drivers
