// The headers of the usual segment are written at once. They are those that the layers write one by one.

#include "tcp/usual_segment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/byte_order.h"
#include "base/checksum.h"
#include "base/rng.h"
#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using Frames = std::vector<std::vector<std::uint8_t>>;

/// What goes out in a conversation of requests and answers, losses and holes among them, each time the same
/// one: with the checksums that a device would fill in.
class Conversation {
 public:
  Conversation(std::uint64_t seed, const DeviceCaps& caps) : rng_(seed), script_(options(seed, caps)) {
    Seg first = syn().mss(1000).sack_ok().wscale(2);
    if (seed % 2 == 0) first.with_ts();
    script_.establish(first);
    script_.set_option(SocketOption::kNoDelay, 1);
    if (seed % 3 == 0) script_.set_option(SocketOption::kTypeOfService, 0x28);
    if (seed % 5 == 0) script_.set_option(SocketOption::kTimeToLive, 17);
    if (seed % 7 == 0) script_.set_option(SocketOption::kMtuDiscover, 0);
    for (int turn = 0; turn < 60; ++turn) step();
    script_.take_sent();
    script_.inject(rst(received_));
    static_cast<void>(script_.read_error());
    for (const SentFrame& frame : script_.frames()) {
      frames.push_back(frame.bytes);
      if (!frame.offload.needs_checksum) continue;
      ++unfinished;
      std::vector<std::uint8_t>& bytes = frames.back();
      const std::span covered = std::span{bytes}.subspan(frame.offload.checksum_start);
      const std::uint16_t sum = internet_checksum(covered);
      store_be16(&covered[frame.offload.checksum_offset], sum);
    }
  }

  Frames frames;
  std::size_t unfinished = 0;

 private:
  static TcpScript::Options options(std::uint64_t seed, const DeviceCaps& caps) {
    TcpScript::Options options;
    options.caps = caps;
    options.seed = seed;
    options.keep_frames = true;
    return options;
  }
  void step() {
    script_.after(std::chrono::microseconds(rng_.below(20'000) + 1));
    switch (rng_.below(8)) {
      case 0:
        write(rng_.below(5000) + 1);  // more than a segment
        break;
      case 1:  // a hole, which our ACKs tell of until it is filled
        script_.inject(data(received_ + 100, received_ + 200).ack(sent_end()));
        write(rng_.below(900) + 1);
        script_.inject(data(received_, received_ + 100).ack(sent_end()));
        received_ += 200;
        break;
      case 2:
        write(rng_.below(900) + 1);
        script_.after(600ms);  // lost: sent again
        break;
      case 3:
        static_cast<void>(script_.try_write(1, {.out_of_band = true}));
        ++written_;
        break;
      default:
        write(rng_.below(900) + 1);
    }
    script_.inject(data(received_, received_ + 50).ack(sent_end()));
    received_ += 50;
    script_.read();
  }
  [[nodiscard]] std::uint32_t sent_end() const { return written_ - script_.info().notsent_bytes; }
  void write(std::uint32_t bytes) {
    script_.write(bytes);
    written_ += bytes;
  }

  Rng rng_;
  TcpScript script_;
  std::uint32_t written_ = 1, received_ = 1;
};

TEST(UsualSegment, IsWhatTheLayersWriteOneByOne) {
  for (std::uint64_t seed = 1; seed <= 42; ++seed) {
    const Conversation one_by_one(seed, {});
    ASSERT_EQ(one_by_one.unfinished, 0u);
    ASSERT_GT(one_by_one.frames.size(), 80u);
    for (const bool scatter : {false, true}) {
      const Conversation at_once(seed, {.tx_checksum = true, .scatter = scatter});
      ASSERT_EQ(at_once.unfinished, at_once.frames.size());
      ASSERT_EQ(at_once.frames.size(), one_by_one.frames.size()) << "seed " << seed;
      for (std::size_t i = 0; i < at_once.frames.size(); ++i)
        ASSERT_EQ(at_once.frames[i], one_by_one.frames[i]) << "seed " << seed << ", frame " << i;
    }
  }
}

/// A packet with room for headers, and what it takes to send it.
class OneSegment : public testing::Test {
 protected:
  OneSegment() {
    device_.capabilities.tx_checksum = true;
    link::InterfaceConfig interface;
    interface.addresses = {*IpPrefix::parse("198.18.0.1/24")};
    interface.probe_addresses = false;
    stack_.add_interface(device_, interface, now_).neighbours().add_static(kPeer, kPeerMac, now_);
    route_ = *tcp_.ip().route(kPeer, now_);
    outgoing_.seq = SeqNum{1000};
    outgoing_.ack = SeqNum{2000};
    outgoing_.flags = tcp::Flags::kAck;
    outgoing_.window = 3000;
    outgoing_.timestamps = wire::TcpOptions::Timestamps{4000, 5000};
    renew(PacketPool::kHeadroom);
  }
  void renew(std::size_t headroom) {
    packet_ = tcp_.pool().allocate(kBytes, headroom);
    std::fill_n(packet_->put(kBytes), kBytes, std::uint8_t{7});
  }
  [[nodiscard]] bool send_usual() { return tcp_.send_usual(key_, outgoing_, packet_, route_, now_); }
  [[nodiscard]] std::uint64_t counted() const { return tcp_.counters()[tcp::Counter::kOutSegs]; }
  /// Not taken, and as it was.
  void expect_refused(const char* why) {
    const std::uint64_t before = counted();
    EXPECT_FALSE(send_usual()) << why;
    ASSERT_NE(packet_, nullptr) << why;
    EXPECT_EQ(packet_->length(), kBytes) << why;
    EXPECT_EQ(counted(), before) << why;
  }
  void tell(DeviceEvent event) {
    device_.tell(event);
    stack_.poll(now_, 1);
  }

  static constexpr std::uint32_t kBytes = 100;
  static constexpr IpAddress kOwn = IpAddress::v4(198, 18, 0, 1), kPeer = IpAddress::v4(198, 18, 0, 2);
  static constexpr MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 2}};
  Instant now_ = kEpoch + 1s;
  FakeDevice device_;
  Stack stack_{StackConfig{}, {}, now_};
  tcp::Tcp& tcp_ = stack_.tcp();
  tcp::FlowKey key_{{kOwn, 80}, {kPeer, 1234}};
  tcp::Tcp::Outgoing outgoing_;
  ip::RouteResult route_;
  PacketPtr packet_;
};

TEST_F(OneSegment, IsWrittenAtOnce) {
  EXPECT_TRUE(send_usual());
  renew(PacketPool::kHeadroom);
  EXPECT_TRUE(tcp_.send_segment(key_, outgoing_, std::move(packet_), &route_, now_).ok());
  stack_.poll(now_, 1);
  std::vector<SentFrame> frames = device_.take_sent();
  ASSERT_EQ(frames.size(), 2u);
  auto &at_once = frames[0].bytes, &one_by_one = frames[1].bytes;
  // The identification is the next one, and with it the header's checksum.
  constexpr std::size_t kIdentification = 14 + 4, kChecksum = 14 + 10;
  for (const std::size_t at : {kIdentification, kChecksum}) {
    EXPECT_NE(load_be16(&at_once[at]), load_be16(&one_by_one[at]));
    store_be16(&at_once[at], 0);
    store_be16(&one_by_one[at], 0);
  }
  EXPECT_EQ(at_once, one_by_one);
  EXPECT_EQ(frames[0].offload.checksum_start, frames[1].offload.checksum_start);
  EXPECT_EQ(frames[0].offload.checksum_offset, frames[1].offload.checksum_offset);
  EXPECT_EQ(counted(), 2u);
  EXPECT_EQ(stack_.ip().counters()[ip::Counter::kOutRequests], 2u);
}

TEST_F(OneSegment, IsLeftToTheLayersWhereSomethingIsLeftToBeDone) {
  outgoing_.dont_fragment = false;
  expect_refused("it may be fragmented");
  outgoing_.dont_fragment = true;
  outgoing_.gso_size = 50;
  expect_refused("a super-segment");
  outgoing_.gso_size = 0;
  const wire::TcpOptions options;
  outgoing_.options = &options;
  expect_refused("options");
  outgoing_.options = nullptr;
  const ip::RouteResult route = route_;
  route_.mtu = 151;
  expect_refused("too large");
  route_ = route;
  route_.broadcast = true;
  expect_refused("to all");
  route_ = route;
  route_.interface = nullptr;
  expect_refused("to ourselves");
  route_ = route;
  route_.next_hop = IpAddress::v4(198, 18, 0, 99);
  expect_refused("to a neighbour that is not known");
  route_ = route;
  renew(65);
  expect_refused("no room for headers");
  renew(PacketPool::kHeadroom);
  const PacketPtr other = packet_->clone(0, 0);
  expect_refused("others read what lies in front");
  renew(PacketPool::kHeadroom);
  tell(DeviceEvent::kLinkDown);
  expect_refused("link down");
}

TEST(UsualSegment, OfALinkThatIsDownIsCountedAndComesAgain) {
  TcpScript::Options options;
  options.caps.tx_checksum = true;
  TcpScript script(options);
  script.establish();
  script.tell(DeviceEvent::kLinkDown);
  script.write(100);
  script.expect_nothing();
  EXPECT_EQ(script.stack().interfaces().front()->counters()[link::Counter::kTxLinkDown], 1u);
  script.inject(rst(1));
  static_cast<void>(script.read_error());
}

}  // namespace
}  // namespace millrace::test
