#include "af_packet/vnet_header.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "frame_headers.h"
#include "frames.h"

namespace millrace::drivers {
namespace {

using RxChecksum = Offload::RxChecksum;

Bytes tcp_frame(std::size_t payload, std::size_t options = 0) {
  FrameSpec spec;
  spec.payload = pattern(payload, 1);
  spec.options = Bytes(options, 1);
  return make_frame(spec);
}

Bytes udp_frame(std::size_t payload) {
  FrameSpec spec;
  spec.udp = true;
  spec.payload = pattern(payload, 1);
  return make_frame(spec);
}

/// The same over IPv6, as far as FrameHeaders looks.
Bytes to_ipv6(const Bytes& frame) {
  Bytes out(frame.begin(), frame.begin() + 14);
  out[12] = 0x86, out[13] = 0xdd;
  Bytes header(40);
  header[0] = 0x60;
  header[6] = frame[23];
  out.insert(out.end(), header.begin(), header.end());
  out.insert(out.end(), frame.begin() + 34, frame.end());
  return out;
}

Bytes tagged(Bytes frame) {
  const Bytes tag{0x81, 0x00, 0x00, 0x07};
  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  return frame;
}

TEST(FrameHeaders, FindsTcpAndUdpOverBothFamiliesAndBehindATag) {
  const auto check = [](const Bytes& frame, bool ipv6, bool tcp, int network, int transport, int payload) {
    const auto headers = FrameHeaders::parse(frame);
    ASSERT_TRUE(headers);
    EXPECT_EQ(headers->ipv6, ipv6);
    EXPECT_EQ(headers->tcp, tcp);
    EXPECT_EQ(headers->network, network);
    EXPECT_EQ(headers->transport, transport);
    EXPECT_EQ(headers->payload, payload);
  };
  check(tcp_frame(5), false, true, 14, 34, 54);
  check(tcp_frame(5, 12), false, true, 14, 34, 66);
  check(udp_frame(5), false, false, 14, 34, 42);
  check(to_ipv6(tcp_frame(5, 12)), true, true, 14, 54, 86);
  check(to_ipv6(udp_frame(5)), true, false, 14, 54, 62);
  check(tagged(tcp_frame(5)), false, true, 18, 38, 58);
}

TEST(FrameHeaders, RefusesFragmentsOtherProtocolsAndHeadersCutShort) {
  Bytes fragment = tcp_frame(5);
  fragment[20] = 0x20;  // more fragments
  EXPECT_FALSE(FrameHeaders::parse(fragment));
  fragment[20] = 0;
  fragment[21] = 1;  // not the first one
  EXPECT_FALSE(FrameHeaders::parse(fragment));
  Bytes icmp = tcp_frame(5);
  icmp[23] = 1;
  EXPECT_FALSE(FrameHeaders::parse(icmp));
  Bytes arp = tcp_frame(5);
  arp[13] = 6;
  EXPECT_FALSE(FrameHeaders::parse(arp));
  for (const Bytes& frame : {tcp_frame(0, 12), tagged(tcp_frame(0)), to_ipv6(udp_frame(0))}) {
    ASSERT_TRUE(FrameHeaders::parse(frame));
    for (std::size_t n = 0; n < frame.size(); ++n)
      EXPECT_FALSE(FrameHeaders::parse(std::span(frame).first(n))) << n;
  }
}

TEST(FrameHeaders, NeverPointsBeyondTheBytesItWasGiven) {
  Rng rng(std::uint64_t{11});
  const Bytes seeds[] = {tcp_frame(3, 8), udp_frame(3), to_ipv6(tcp_frame(3)), tagged(udp_frame(3))};
  for (int i = 0; i < 100'000; ++i) {
    Bytes frame = seeds[rng.below(4)];
    for (std::uint32_t flips = rng.below(6); flips != 0; --flips) {
      frame[rng.below(static_cast<std::uint32_t>(frame.size()))] = static_cast<std::uint8_t>(rng.u32());
    }
    frame.resize(rng.below(static_cast<std::uint32_t>(frame.size()) + 1));
    const auto headers = FrameHeaders::parse(frame);
    if (!headers) continue;
    ASSERT_LT(headers->network, headers->transport);
    ASSERT_LT(headers->transport, headers->payload);
    ASSERT_LE(headers->payload, frame.size());
  }
}

TEST(VnetHeader, TellsPartialVerifiedAndUnknownChecksumsApart) {
  const Bytes frame = tcp_frame(100);
  VnetHeader header;
  EXPECT_EQ(header.to_offload(frame, 154).rx_checksum, RxChecksum::kUnknown);
  header.flags = VnetHeader::kDataValid;
  EXPECT_EQ(header.to_offload(frame, 154).rx_checksum, RxChecksum::kVerified);
  header.flags = VnetHeader::kNeedsChecksum;
  header.checksum_start = 34;
  header.checksum_offset = 16;
  const Offload offload = header.to_offload(frame, 154);
  EXPECT_EQ(offload.rx_checksum, RxChecksum::kPartial);
  EXPECT_EQ(offload.checksum_start, 34);
  EXPECT_EQ(offload.checksum_offset, 16);
  EXPECT_FALSE(offload.needs_checksum);
}

TEST(VnetHeader, CountsTheSegmentsOfASuperFrameByItsPayload) {
  VnetHeader header;
  header.gso_type = VnetHeader::kGsoTcp4 | VnetHeader::kGsoEcn;
  header.gso_size = 1000;
  header.header_length = 200;  // the kernel's hint, which is not the headers' length
  const auto segments = [&header](std::size_t payload) {
    const Bytes frame = tcp_frame(payload, 12);
    return header.to_offload(frame, static_cast<std::uint32_t>(frame.size())).gso_segs;
  };
  EXPECT_EQ(segments(2000), 2);
  EXPECT_EQ(segments(2001), 3);
  EXPECT_EQ(segments(1001), 2);
  EXPECT_EQ(segments(1000), 0) << "an ordinary frame";
  EXPECT_EQ(segments(0), 0);
}

TEST(VnetHeader, AsksTheKernelForWhatThePacketNeeds) {
  PacketPool pool;
  FrameSpec spec;
  spec.payload = pattern(5000, 1);
  spec.options = Bytes(12, 1);
  VnetHeader header;
  ASSERT_TRUE(VnetHeader::from_packet(*to_packet(pool, make_frame(spec)), header));
  EXPECT_EQ(header.flags, 0);
  EXPECT_EQ(header.gso_type, VnetHeader::kGsoNone);
  ASSERT_TRUE(VnetHeader::from_packet(*to_offload_packet(pool, spec, 1448), header));
  EXPECT_EQ(header.flags, VnetHeader::kNeedsChecksum);
  EXPECT_EQ(header.checksum_start, 34);
  EXPECT_EQ(header.checksum_offset, 16);
  EXPECT_EQ(header.gso_type, VnetHeader::kGsoTcp4);
  EXPECT_EQ(header.gso_size, 1448);
  EXPECT_EQ(header.header_length, 66);
  const PacketPtr ipv6 = to_packet(pool, to_ipv6(make_frame(spec)));
  ipv6->offload.needs_checksum = true;
  ipv6->offload.checksum_start = 54;
  ipv6->offload.checksum_offset = 16;
  ipv6->offload.gso_size = 1428;
  ASSERT_TRUE(VnetHeader::from_packet(*ipv6, header));
  EXPECT_EQ(header.gso_type, VnetHeader::kGsoTcp6);
}

TEST(VnetHeader, RefusesWishesTheKernelCannotFulfil) {
  PacketPool pool;
  VnetHeader header;
  FrameSpec spec;
  spec.payload = pattern(5000, 1);
  const PacketPtr outside = to_packet(pool, make_frame(spec));
  outside->offload.needs_checksum = true;
  outside->offload.checksum_start = static_cast<std::uint16_t>(outside->length() - 16);
  outside->offload.checksum_offset = 16;
  EXPECT_FALSE(VnetHeader::from_packet(*outside, header));
  const PacketPtr unpartial = to_offload_packet(pool, spec, 1460);
  unpartial->offload.needs_checksum = false;
  EXPECT_FALSE(VnetHeader::from_packet(*unpartial, header));
  const PacketPtr arp = to_packet(pool, raw_frame(200, 1, {}, {}));
  arp->offload.needs_checksum = true;
  arp->offload.gso_size = 100;
  EXPECT_FALSE(VnetHeader::from_packet(*arp, header));
}

}  // namespace
}  // namespace millrace::drivers
