#include "af_packet/ingress_filter.h"

#include <ifaddrs.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "bpf_program.h"
#include "wire/ethernet.h"

namespace millrace::drivers {
namespace {

// Newer than the headers this is built with.
constexpr unsigned kTcxIngress = 46;   // BPF_TCX_INGRESS
constexpr std::int32_t kTcxNext = -1;  // TCX_NEXT
constexpr std::int32_t kTcxDrop = 2;   // TCX_DROP
constexpr std::int32_t kEtherTypeAt = 12, kDestinationAt = 30;
constexpr int kLoadWord = BPF_LD + BPF_ABS + BPF_W;
constexpr std::size_t kMaxAddresses = 64;

BpfProgram drop_for(std::span<const std::uint32_t> addresses) {
  BpfProgram program;
  // Absolute loads want the packet in r6, answer in r0, and pass a packet that is too short with 0.
  program.push_back(bpf_instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0));
  program.push_back(bpf_instruction(BPF_LD | BPF_ABS | BPF_H, 0, 0, 0, kEtherTypeAt));
  program.push_back(
      bpf_instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_0, 0, addresses.size() + 1, wire::kEtherTypeIpv4));
  program.push_back(bpf_instruction(kLoadWord, 0, 0, 0, kDestinationAt));
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    // Past the ones that follow, and past the return of "next".
    program.push_back(bpf_instruction(BPF_JMP32 | BPF_JEQ | BPF_K, BPF_REG_0, 0, addresses.size() - i + 1,
                                      static_cast<std::int32_t>(addresses[i])));
  }
  add_return(program, kTcxNext);
  add_return(program, kTcxDrop);
  return program;
}

int bpf(bpf_cmd command, bpf_attr& attributes) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

bool kernel_has_one(std::span<const std::uint32_t> addresses) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return true;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owned(list, &::freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    sockaddr_in address{};
    std::memcpy(&address, entry->ifa_addr, sizeof address);
    if (std::find(addresses.begin(), addresses.end(), ntohl(address.sin_addr.s_addr)) != addresses.end())
      return true;
  }
  return false;
}

}  // namespace

bool IngressFilter::attach(int interface_index, std::span<const IpPrefix> addresses) {
  std::vector<std::uint32_t> ours;
  for (const IpPrefix& own : addresses) {
    if (own.address.is_v4()) ours.push_back(own.address.v4_value());
  }
  if (ours.empty() || ours.size() > kMaxAddresses || kernel_has_one(ours)) return false;
  const BpfProgram program = drop_for(ours);
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_SCHED_CLS;
  load.insns = reinterpret_cast<std::uintptr_t>(program.data());
  load.insn_cnt = static_cast<std::uint32_t>(program.size());
  load.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");
  std::strncpy(load.prog_name, "millrace", sizeof load.prog_name - 1);
  const UniqueFd loaded{bpf(BPF_PROG_LOAD, load)};
  if (!loaded) return false;
  bpf_attr attach{};
  attach.link_create.prog_fd = static_cast<std::uint32_t>(loaded.get());
  attach.link_create.target_ifindex = static_cast<std::uint32_t>(interface_index);
  attach.link_create.attach_type = static_cast<bpf_attach_type>(kTcxIngress);
  link_ = UniqueFd{bpf(BPF_LINK_CREATE, attach)};
  return attached();
}

}  // namespace millrace::drivers
