#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "af_packet_fixture.h"
#include "unique_fd.h"
#include "wire/ethernet.h"
#include "wire/tcp.h"

namespace millrace::drivers {
namespace {

/// A TCP connection between a socket of the kernel (in this process, in the right namespace) and frames made
/// by hand.
class AfPacketTcp : public AfPacket {
 protected:
  static constexpr std::uint16_t kOurPort = 4000;
  static constexpr std::uint32_t kOurIss = 1000;

  /// The kernel connects to us. It may send 100 segments at once.
  void connect() {
    ASSERT_NO_FATAL_FAILURE(start());
    introduce_ourselves("initcwnd 100");
    {
      const InNamespace inside(*pair_, Side::kRight);
      socket_ = UniqueFd{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    }
    const int buffer = 2 << 20;
    ASSERT_EQ(::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer), 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(kOurPort);
    to.sin_addr.s_addr = htonl(kOurAddress.v4_value());
    ASSERT_EQ(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), -1);
    PacketPtr syn = next_tcp();
    ASSERT_NE(syn, nullptr);
    const auto header = *tcp_of(*syn);
    kernel_port_ = header.source_port;
    kernel_seq_ = header.seq + 1;
    kernel_mac_ = wire::EthernetHeader::parse(syn->linear())->source;
    FrameSpec answer = segment(SeqNum{kOurIss}, 0x12);  // SYN and ACK
    answer.options = {2, 4, 0x05, 0xb4, 3, 3, 10, 1};   // MSS 1460, window scale 10
    send(*ours_, to_packet(pool_, make_frame(answer)));
    ASSERT_NE(next_tcp(), nullptr);
  }

  FrameSpec segment(SeqNum seq, std::uint8_t flags) const {
    FrameSpec spec = to_kernel();
    spec.source_port = kOurPort;
    spec.destination_port = kernel_port_;
    spec.seq = seq;
    spec.ack = kernel_seq_;
    spec.flags = flags;
    return spec;
  }

  /// The next TCP frame from the kernel; null after 5 s.
  PacketPtr next_tcp() {
    while (receive(*ours_, 1)) {
      PacketPtr packet = in_.pop_front();
      if (tcp_of(*packet)) return packet;
    }
    return nullptr;
  }
  static std::optional<wire::TcpHeader> tcp_of(const Packet& packet) {
    const auto bytes = packet.linear();
    if (bytes.size() < 54 || bytes[12] != 8 || bytes[13] != 0 || bytes[23] != 6) return std::nullopt;
    return wire::TcpHeader::parse(bytes.subspan(34));
  }

  UniqueFd socket_;
  std::uint16_t kernel_port_ = 0;
  SeqNum kernel_seq_;
};

TEST_F(AfPacketTcp, ReceivesTheKernelsSuperFramesWholeAndPartial) {
  ASSERT_NO_FATAL_FAILURE(connect());
  const Bytes sent = pattern(500'000, 5);
  ASSERT_EQ(::send(socket_.get(), sent.data(), sent.size(), 0), 500'000);
  Bytes received;
  std::uint32_t largest = 0;
  while (received.size() < sent.size()) {
    const PacketPtr packet = next_tcp();
    ASSERT_NE(packet, nullptr);
    const auto tcp = *tcp_of(*packet);
    EXPECT_EQ(packet->offload.rx_checksum, Offload::RxChecksum::kPartial);
    EXPECT_EQ(packet->offload.checksum_start, 34);
    EXPECT_EQ(packet->offload.checksum_offset, 16);
    const std::uint32_t header = 34u + tcp.header_length;
    const std::uint32_t payload = packet->length() - header;
    if (payload > 1460) {
      EXPECT_EQ(packet->offload.gso_size, 1460);
      EXPECT_EQ(packet->offload.gso_segs, (payload + 1459) / 1460);
    }
    largest = std::max(largest, payload);
    const std::size_t at = SeqNum::distance(kernel_seq_, tcp.seq);
    if (at + payload <= received.size()) continue;  // sent again, as its acknowledgment was late
    ASSERT_EQ(at, received.size());
    const Bytes frame = bytes_of(*packet);
    received.insert(received.end(), frame.begin() + header, frame.end());
    FrameSpec acknowledgment = segment(SeqNum{kOurIss + 1}, 0x10);
    acknowledgment.ack = kernel_seq_ + static_cast<std::uint32_t>(received.size());
    send(*ours_, to_packet(pool_, make_frame(acknowledgment)));
  }
  EXPECT_EQ(received, sent);
  EXPECT_GT(largest, 60'000u) << "whole, not cut";
}

TEST_F(AfPacketTcp, HasTheKernelTakeOurSuperFrame) {
  ASSERT_NO_FATAL_FAILURE(connect());
  FrameSpec spec = segment(SeqNum{kOurIss + 1}, 0x18);
  spec.payload = pattern(44 * 1460, 6);  // the kernel's first window
  send(*ours_, to_offload_packet(pool_, spec, 1460));
  EXPECT_EQ(ours_->stats().tx_errors, 0u);
  Bytes received;
  ASSERT_TRUE(receive_until(*ours_, [&] {
    Bytes chunk(65536);
    const ssize_t n = ::recv(socket_.get(), chunk.data(), chunk.size(), 0);
    if (n > 0) received.insert(received.end(), chunk.begin(), chunk.begin() + n);
    return received.size() >= spec.payload.size();
  }));
  EXPECT_EQ(received, spec.payload);
  EXPECT_TRUE(pair_->run(Side::kRight, "nstat -asz TcpInCsumErrors | grep -q 'TcpInCsumErrors *0 '"));
}

}  // namespace
}  // namespace millrace::drivers
