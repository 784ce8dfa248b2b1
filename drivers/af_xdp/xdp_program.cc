#include "af_xdp/xdp_program.h"

#include <bpf/bpf.h>
#include <ifaddrs.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "base/byte_order.h"
#include "bpf_program.h"

namespace millrace::drivers {
namespace {

constexpr std::size_t kMaxAddresses = 64;
constexpr std::int32_t kPass = XDP_PASS;
// Where things lie in a frame.
constexpr std::int32_t kShortest = 42;  ///< Ethernet and ARP
constexpr std::size_t kEtherTypeAt = 12, kIpDestinationAt = 30, kArpTargetAt = 38;
constexpr std::uint16_t kIpv4 = 0x0800, kArp = 0x0806;

/// As the program sees a field that it loads from the frame.
std::int32_t on_wire(std::uint32_t value) {
  std::uint8_t bytes[4];
  store_be32(bytes, value);
  std::int32_t loaded = 0;
  std::memcpy(&loaded, bytes, sizeof loaded);
  return loaded;
}
std::int32_t on_wire(std::uint16_t value) {
  std::uint8_t bytes[2];
  store_be16(bytes, value);
  std::uint16_t loaded = 0;
  std::memcpy(&loaded, bytes, sizeof loaded);
  return loaded;
}

/// r2: the frame. Goes on behind what is added here with those for `addresses`; leaves with kPass otherwise.
void add_selection(BpfProgram& program, std::span<const std::uint32_t> addresses) {
  constexpr int kLoadWord = BPF_LDX + BPF_MEM + BPF_W, kLoadHalf = BPF_LDX + BPF_MEM + BPF_H;
  const std::size_t count = addresses.size();
  program.push_back(bpf_instruction(kLoadWord, BPF_REG_2, BPF_REG_1, offsetof(xdp_md, data), 0));
  program.push_back(bpf_instruction(kLoadWord, BPF_REG_3, BPF_REG_1, offsetof(xdp_md, data_end), 0));
  program.push_back(bpf_instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_4, BPF_REG_2, 0, 0));
  constexpr int kAddConstant = BPF_ALU64 + BPF_ADD + BPF_K;
  program.push_back(bpf_instruction(kAddConstant, BPF_REG_4, 0, 0, kShortest));
  program.push_back(
      bpf_instruction(BPF_JMP | BPF_JGT | BPF_X, BPF_REG_4, BPF_REG_3, 6 + count, 0));  // to pass
  program.push_back(bpf_instruction(kLoadHalf, BPF_REG_5, BPF_REG_2, kEtherTypeAt, 0));
  program.push_back(bpf_instruction(kLoadWord, BPF_REG_0, BPF_REG_2, kIpDestinationAt, 0));
  program.push_back(bpf_instruction(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_5, 0, 3, on_wire(kIpv4)));
  program.push_back(bpf_instruction(kLoadWord, BPF_REG_0, BPF_REG_2, kArpTargetAt, 0));
  program.push_back(bpf_instruction(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_5, 0, 1, on_wire(kArp)));
  program.push_back(bpf_instruction(BPF_JMP | BPF_JA, 0, 0, count, 0));  // to pass
  for (std::size_t i = 0; i < count; ++i) {
    // Past those that follow, and past the return.
    program.push_back(
        bpf_instruction(BPF_JMP32 | BPF_JEQ | BPF_K, BPF_REG_0, 0, count - 1 - i + 2, on_wire(addresses[i])));
  }
  add_return(program, kPass);
}

void add_redirect(BpfProgram& program, int map) {
  program.push_back(
      bpf_instruction(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, offsetof(xdp_md, rx_queue_index), 0));
  program.push_back(bpf_instruction(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map));
  program.push_back(bpf_instruction(0, 0, 0, 0, 0));  // the second half of a 64-bit constant
  program.push_back(
      bpf_instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, kPass));  // of another queue
  program.push_back(bpf_instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map));
  program.push_back(bpf_instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

bool kernel_has_address(const std::string& interface) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return false;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owned(list, &::freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr != nullptr && entry->ifa_addr->sa_family == AF_INET && interface == entry->ifa_name)
      return true;
  }
  return false;
}

UniqueFd load(int map, std::span<const std::uint32_t> addresses) {
  BpfProgram program;
  if (!addresses.empty()) add_selection(program, addresses);
  add_redirect(program, map);
  return UniqueFd{
      bpf_prog_load(BPF_PROG_TYPE_XDP, "millrace", "Apache-2.0", program.data(), program.size(), nullptr)};
}

std::string failed(const char* what) {
  return std::string(what) + ": " + std::strerror(errno) +
         (errno == EPERM ? "; CAP_NET_ADMIN and CAP_BPF are needed: run as root" : "");
}

}  // namespace

bool XdpProgram::link(Attachment& attachment, int program, std::uint32_t flags) const {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
  attachment.link = UniqueFd{bpf_link_create(program, attachment.interface_index, BPF_XDP, &options)};
  return static_cast<bool>(attachment.link);
}

std::string XdpProgram::attach_to(int interface_index) {
  using Mode = AfXdpConfig::Mode;
  Attachment made;
  made.interface_index = interface_index;
  made.map = UniqueFd{
      bpf_map_create(BPF_MAP_TYPE_XSKMAP, "millrace", sizeof(std::uint32_t), sizeof(int), queues_, nullptr)};
  if (!made.map) return failed("cannot make the map of sockets");
  const UniqueFd program = load(made.map.get(), selected());
  if (!program) return failed("cannot load the XDP program");
  made.native = mode_ != Mode::kGeneric && link(made, program.get(), XDP_FLAGS_DRV_MODE);
  if (made.native ||
      (mode_ != Mode::kNative && errno != EBUSY && link(made, program.get(), XDP_FLAGS_SKB_MODE))) {
    attachment_ = std::move(made);
    return {};
  }
  if (errno == EBUSY)
    return "another XDP program is attached; see: ip link show, and: ip link set ... xdp off";
  return failed(mode_ == Mode::kNative ? "the interface's driver has no XDP (mode=native)"
                                       : "cannot attach the XDP program");
}

std::string XdpProgram::attach(int interface_index, std::uint32_t queue, int socket) {
  const std::lock_guard guard(mutex_);
  if (interface_index != attachment_.interface_index) {
    if (std::string error = attach_to(interface_index); !error.empty()) return error;
  }
  attachment_.queues.insert(queue);
  if (bpf_map_update_elem(attachment_.map.get(), &queue, &socket, BPF_ANY) != 0)
    return failed("cannot enter the socket in the map");
  return {};
}

void XdpProgram::detach(std::uint32_t queue) {
  const std::lock_guard guard(mutex_);
  if (attachment_.queues.erase(queue) == 0) return;
  static_cast<void>(bpf_map_delete_elem(attachment_.map.get(), &queue));
  if (attachment_.queues.empty()) attachment_ = Attachment{};
}

std::vector<std::uint32_t> XdpProgram::selected() const {
  std::vector<std::uint32_t> ours;
  if (!kernel_has_address(interface_)) return ours;
  for (const IpPrefix& own : addresses_) {
    if (own.address.is_v4() && ours.size() < kMaxAddresses) ours.push_back(own.address.v4_value());
  }
  return ours;
}

void XdpProgram::select(std::span<const IpPrefix> addresses) {
  const std::lock_guard guard(mutex_);
  addresses_.assign(addresses.begin(), addresses.end());
  const std::vector<std::uint32_t> ours = selected();
  if (!attachment_.link || ours.empty()) return;
  if (const UniqueFd program = load(attachment_.map.get(), ours))
    static_cast<void>(bpf_link_update(attachment_.link.get(), program.get(), nullptr));
}

bool XdpProgram::native() const {
  const std::lock_guard guard(mutex_);
  return attachment_.native;
}

}  // namespace millrace::drivers
