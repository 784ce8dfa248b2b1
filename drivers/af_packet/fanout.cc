#include "af_packet/fanout.h"

#include <linux/if_packet.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "link/flow_home.h"

namespace millrace::drivers {
namespace {

/// Newer than the headers this is built with: PACKET_IGNORE_OUTGOING of a group.
constexpr unsigned kIgnoreOutgoing = 0x4000;
constexpr std::uint32_t kEtherTypeIpv4 = 0x0800, kTcp = 6, kUdp = 17, kFragmentMask = 0x3fff;
// Where the kernel keeps what a packet socket sees before its own header is there: behind the network header.
constexpr auto kNetwork = static_cast<std::uint32_t>(SKF_NET_OFF);
constexpr auto kProtocol = static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PROTOCOL);

sock_filter instruction(int code, std::uint32_t k, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
  return {static_cast<std::uint16_t>(code), if_true, if_false, k};
}

}  // namespace

std::vector<sock_filter> steering_program(std::uint32_t queues) {
  using Home = link::FlowHome;
  // A: what is computed with; X: the length of the IP header, later the other operand; M[0]: addresses.
  std::vector<sock_filter> program{
      instruction(BPF_LD | BPF_W | BPF_ABS, kProtocol),
      instruction(BPF_JMP | BPF_JEQ | BPF_K, kEtherTypeIpv4, 0, 0),  // else: queue 0
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
      instruction(BPF_RET | BPF_A, 0),
      instruction(BPF_RET | BPF_K, 0),
  };
  const std::size_t zero = program.size() - 1;
  const auto to_zero = [zero](std::size_t from) { return static_cast<std::uint8_t>(zero - from - 1); };
  program[1].jf = to_zero(1);
  program[3].jt = to_zero(3);
  program[6].jf = to_zero(6);
  return program;
}

std::string Fanout::join(int socket) {
  if (queues == 1) return {};
  const unsigned kind = PACKET_FANOUT_CBPF | kIgnoreOutgoing;
  const bool first = group < 0;
  // Arguments of the first member: the kernel picks the number.
  std::uint32_t arguments = (kind | (first ? PACKET_FANOUT_FLAG_UNIQUEID : 0)) << 16;
  if (!first) arguments |= static_cast<std::uint32_t>(group) & 0xffff;
  if (::setsockopt(socket, SOL_PACKET, PACKET_FANOUT, &arguments, sizeof arguments) != 0)
    return "cannot share the interface's frames between " + std::to_string(queues) +
           " queues (PACKET_FANOUT): " + std::strerror(errno);
  if (!first) return {};
  std::vector<sock_filter> code = steering_program(queues);
  sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  std::uint32_t made = 0;
  socklen_t length = sizeof made;
  if (::setsockopt(socket, SOL_PACKET, PACKET_FANOUT_DATA, &program, sizeof program) != 0 ||
      ::getsockopt(socket, SOL_PACKET, PACKET_FANOUT, &made, &length) != 0)
    return std::string("cannot steer frames to queues (PACKET_FANOUT_DATA): ") + std::strerror(errno);
  group = static_cast<int>(made & 0xffff);
  return {};
}

}  // namespace millrace::drivers
