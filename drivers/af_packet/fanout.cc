#include "af_packet/fanout.h"

#include <linux/if_packet.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "link/flow_home.h"
#include "wire/ethernet.h"

namespace millrace::drivers {
namespace {

/// Newer than the headers this is built with: PACKET_IGNORE_OUTGOING of a group.
constexpr unsigned kIgnoreOutgoing = 0x4000;
constexpr std::uint32_t kTcp = 6, kUdp = 17, kFragmentMask = 0x3fff;
// Where the kernel keeps what a packet socket sees before its own header is there: behind the network header.
constexpr auto kNetwork = static_cast<std::uint32_t>(SKF_NET_OFF);
constexpr auto kProtocol = static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PROTOCOL);

sock_filter instruction(int code, std::uint32_t k, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
  return {static_cast<std::uint16_t>(code), if_true, if_false, k};
}

}  // namespace

bool in_order(std::span<const std::uint32_t> members) {
  std::uint32_t place = 0;
  return std::all_of(members.begin(), members.end(), [&](std::uint32_t queue) { return queue == place++; });
}

std::vector<sock_filter> steering_program(std::uint32_t queues, std::span<const std::uint32_t> members) {
  using Home = link::FlowHome;
  // A: what is computed with; X: the length of the IP header, later the other operand; M[0]: addresses.
  std::vector<sock_filter> program{
      instruction(BPF_LD | BPF_W | BPF_ABS, kProtocol),
      instruction(BPF_JMP | BPF_JEQ | BPF_K, wire::kEtherTypeIpv4, 0, 0),  // else: queue 0
      instruction(BPF_LD | BPF_H | BPF_ABS, kNetwork + 6),
      instruction(BPF_JMP | BPF_JSET | BPF_K, kFragmentMask, 0, 0),  // then: queue 0
      instruction(BPF_LD | BPF_B | BPF_ABS, kNetwork + 9),
      instruction(BPF_JMP | BPF_JEQ | BPF_K, kTcp, 1, 0),
      instruction(BPF_JMP | BPF_JEQ | BPF_K, kUdp, 0, 0),  // else: queue 0
      // (source ^ destination) * kAddressFactor
      instruction(BPF_LD | BPF_W | BPF_ABS, kNetwork + 12),
      instruction(BPF_MISC | BPF_TAX, 0),
      instruction(BPF_LD | BPF_W | BPF_ABS, kNetwork + 16),
      instruction(BPF_ALU | BPF_XOR | BPF_X, 0),
      instruction(BPF_ALU | BPF_MUL | BPF_K, Home::kAddressFactor),
      instruction(BPF_ST, 0),
      // (source port ^ destination port) * kPortFactor
      instruction(BPF_LDX | BPF_B | BPF_MSH, kNetwork),
      instruction(BPF_LD | BPF_W | BPF_IND, kNetwork),
      instruction(BPF_MISC | BPF_TAX, 0),
      instruction(BPF_ALU | BPF_RSH | BPF_K, 16),
      instruction(BPF_ALU | BPF_XOR | BPF_X, 0),
      instruction(BPF_ALU | BPF_AND | BPF_K, 0xffff),
      instruction(BPF_ALU | BPF_MUL | BPF_K, Home::kPortFactor),
      // Both, mixed.
      instruction(BPF_LDX | BPF_W | BPF_MEM, 0),
      instruction(BPF_ALU | BPF_ADD | BPF_X, 0),
      instruction(BPF_MISC | BPF_TAX, 0),
      instruction(BPF_ALU | BPF_RSH | BPF_K, Home::kFirstShift),
      instruction(BPF_ALU | BPF_XOR | BPF_X, 0),
      instruction(BPF_ALU | BPF_MUL | BPF_K, Home::kMixFactor),
      instruction(BPF_MISC | BPF_TAX, 0),
      instruction(BPF_ALU | BPF_RSH | BPF_K, Home::kLastShift),
      instruction(BPF_ALU | BPF_XOR | BPF_X, 0),
      instruction(BPF_ALU | BPF_MOD | BPF_K, queues),
  };
  std::uint32_t first_at = 0;
  if (in_order(members)) {
    program.push_back(instruction(BPF_RET | BPF_A, 0));
  } else {
    for (std::uint32_t place = 0; place < members.size(); ++place) {
      program.push_back(instruction(BPF_JMP | BPF_JEQ | BPF_K, members[place], 0, 1));
      program.push_back(instruction(BPF_RET | BPF_K, place));
      if (members[place] == 0) first_at = place;
    }
    program.push_back(instruction(BPF_RET | BPF_K, 0));
  }
  program.push_back(instruction(BPF_RET | BPF_K, first_at));
  const std::size_t last = program.size() - 1;
  const auto to_last = [last](std::size_t from) { return static_cast<std::uint8_t>(last - from - 1); };
  program[1].jf = to_last(1);
  program[3].jt = to_last(3);
  program[6].jf = to_last(6);
  return program;
}

std::string Fanout::join(int socket, std::uint32_t queue, int interface_index) {
  if (interface_index != interface_index_) {
    interface_index_ = interface_index;
    group_ = -1;
    members_.clear();
  }
  const unsigned kind = PACKET_FANOUT_CBPF | kIgnoreOutgoing;
  const bool first = group_ < 0;
  // Arguments of the first member: the kernel picks the number.
  std::uint32_t arguments = (kind | (first ? PACKET_FANOUT_FLAG_UNIQUEID : 0)) << 16;
  if (!first) arguments |= static_cast<std::uint32_t>(group_) & 0xffff;
  if (::setsockopt(socket, SOL_PACKET, PACKET_FANOUT, &arguments, sizeof arguments) != 0)
    return "cannot share the interface's frames between " + std::to_string(queues_) +
           " queues (PACKET_FANOUT): " + std::strerror(errno);
  std::erase(members_, queue);  // a socket that could not stay
  members_.push_back(queue);
  if (first || !in_order(members_)) {
    if (std::string error = steer(socket); !error.empty()) return error;
  }
  if (!first) return {};
  std::uint32_t made = 0;
  socklen_t length = sizeof made;
  if (::getsockopt(socket, SOL_PACKET, PACKET_FANOUT, &made, &length) != 0)
    return std::string("cannot read the group (PACKET_FANOUT): ") + std::strerror(errno);
  group_ = static_cast<int>(made & 0xffff);
  return {};
}

std::string Fanout::steer(int socket) const {
  std::vector<sock_filter> code = steering_program(queues_, members_);
  sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  if (::setsockopt(socket, SOL_PACKET, PACKET_FANOUT_DATA, &program, sizeof program) == 0) return {};
  return std::string("cannot steer frames to queues (PACKET_FANOUT_DATA): ") + std::strerror(errno);
}

}  // namespace millrace::drivers
