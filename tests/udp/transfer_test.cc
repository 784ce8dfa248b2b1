#include "udp_fixture.h"

namespace millrace::test {
namespace {

using udp::Counter;

// --- send

TEST_F(UdpSocketTest, SendErrorsAreThoseOfLinux) {
  Socket& s = socket(pair.a);
  EXPECT_EQ(send(s, pattern(1)), Error::kDestinationRequired);
  EXPECT_EQ(send(s, pattern(1), {pair.b.address, 0}), Error::kInvalid);
  EXPECT_EQ(send(s, pattern(1), {IpAddress::v6({}), 9}), Error::kAddressFamily);
  EXPECT_EQ(send(s, pattern(65508), {pair.b.address, 9}), Error::kMessageSize);
  EXPECT_EQ(send(s, pattern(65536)), Error::kMessageSize);
  const Endpoint to{pair.b.address, 9};
  const ConstIoSlice nothing{};
  EXPECT_EQ(s.send({&nothing, 1}, &to, {.out_of_band = true}, pair.now).error(), Error::kNotSupported);
  EXPECT_EQ(s.listen(1, pair.now).error(), Error::kNotSupported);
  EXPECT_EQ(s.accept(pair.now).error(), Error::kNotSupported);
}

TEST_F(UdpSocketTest, SendingBindsToARandomPort) {
  Socket& s = socket(pair.a);
  ASSERT_EQ(send(s, pattern(1), {pair.b.address, 9}), Error::kNone);
  EXPECT_EQ(s.local_endpoint().address, kAny);
  EXPECT_GE(s.local_endpoint().port, 32768);
}

TEST_F(UdpSocketTest, SeveralSlicesAreOneDatagram) {
  Socket& server = bound(pair.b, {kAny, 1000});
  Socket& client = socket(pair.a);
  const Bytes one = pattern(3), two = pattern(501), three{};
  const ConstIoSlice slices[] = {{one.data(), 3}, {two.data(), 501}, {three.data(), 0}};
  const Endpoint to{pair.b.address, 1000};
  EXPECT_EQ(*client.send(slices, &to, {}, pair.now), 504u);
  pair.settle();
  Bytes whole(504);
  std::copy(two.begin(), two.end(), std::copy(one.begin(), one.end(), whole.begin()));
  EXPECT_EQ(next(server), whole);
}

TEST_F(UdpSocketTest, BroadcastNeedsPermissionAndReachesEverySocketOnThePort) {
  Socket& any = bound(pair.b, {kAny, 1000});
  Socket& exact = socket(pair.b);
  Socket& unicast_only = socket(pair.b);
  for (Socket* s : {&any, &exact, &unicast_only})
    ASSERT_TRUE(s->set_option(SocketOption::kReuseAddress, 1, pair.now).ok());
  ASSERT_TRUE(exact.bind({IpAddress::v4(198, 18, 0, 255), 1000}).ok());
  ASSERT_TRUE(unicast_only.bind({pair.b.address, 1000}).ok());
  Socket& own = bound(pair.a, {kAny, 1000});
  Socket& sender = socket(pair.a);
  const Endpoint all{IpAddress::v4(198, 18, 0, 255), 1000};
  EXPECT_EQ(send(sender, pattern(2000), all), Error::kAccess);
  EXPECT_EQ(sender.connect(all, pair.now).error(), Error::kAccess);
  ASSERT_TRUE(sender.set_option(SocketOption::kBroadcast, 1, pair.now).ok());
  ASSERT_EQ(send(sender, pattern(2000), all), Error::kNone);
  EXPECT_EQ(next(any), pattern(2000));
  EXPECT_EQ(next(exact), pattern(2000));
  EXPECT_EQ(next(unicast_only), std::nullopt);
  EXPECT_EQ(next(own), pattern(2000)) << "the sender's own host hears it too";
}

TEST_F(UdpSocketTest, TosAndTtlGoIntoTheHeader) {
  Socket& server = bound(pair.b, {kAny, 1000});
  Socket& client = socket(pair.a);
  ASSERT_TRUE(client.set_option(SocketOption::kTypeOfService, 0x48, pair.now).ok());
  ASSERT_TRUE(client.set_option(SocketOption::kTimeToLive, 9, pair.now).ok());
  ASSERT_EQ(send(client, pattern(1), {pair.b.address, 1000}), Error::kNone);
  const auto datagram = receive_from(server, pair.now);
  ASSERT_TRUE(datagram.ok());
  EXPECT_EQ(datagram->received.tos, 0x48);
  EXPECT_EQ(datagram->received.ttl, 9);
  EXPECT_EQ(datagram->received.timestamp, pair.now);
  EXPECT_EQ(client.set_option(SocketOption::kTimeToLive, 0, pair.now).error(), Error::kInvalid);
  EXPECT_EQ(client.set_option(SocketOption::kTimeToLive, 256, pair.now).error(), Error::kInvalid);
  EXPECT_TRUE(client.set_option(SocketOption::kTimeToLive, -1, pair.now).ok());
  EXPECT_EQ(*client.option(SocketOption::kTimeToLive), 64);
}

TEST_F(UdpSocketTest, MtuDiscoverDecidesAboutFragments) {
  Socket& server = bound(pair.b, {kAny, 1000});
  const Endpoint to{pair.b.address, 1000};
  Socket& client = connected(pair.a, to);
  EXPECT_EQ(*client.option(SocketOption::kMtuDiscover), 1);
  EXPECT_EQ(*client.option(SocketOption::kPathMtu), 1500);
  pair.a.stack.ip().confirm_path_mtu(pair.b.address, 1000, pair.now);
  EXPECT_EQ(*client.option(SocketOption::kPathMtu), 1000);
  const struct {
    int discover;
    std::size_t fits_path, fits_link;
    Error large;  // between path MTU and link MTU
    Error huge;   // beyond the link MTU
  } cases[] = {{0, 972, 1472, Error::kNone, Error::kNone},
               {1, 972, 1472, Error::kNone, Error::kNone},
               {2, 972, 1472, Error::kMessageSize, Error::kMessageSize},
               {3, 972, 1472, Error::kNone, Error::kMessageSize},
               {4, 972, 1472, Error::kNone, Error::kMessageSize},
               {5, 972, 1472, Error::kNone, Error::kNone}};
  for (const auto& c : cases) {
    ASSERT_TRUE(client.set_option(SocketOption::kMtuDiscover, c.discover, pair.now).ok());
    EXPECT_EQ(send(client, pattern(c.fits_path)), Error::kNone) << c.discover;
    EXPECT_EQ(send(client, pattern(c.fits_link)), c.large) << c.discover;
    EXPECT_EQ(send(client, pattern(3000)), c.huge) << c.discover;
  }
  EXPECT_EQ(client.set_option(SocketOption::kMtuDiscover, 6, pair.now).error(), Error::kInvalid);
  EXPECT_EQ(drain(server), 14u);
}

TEST_F(UdpSocketTest, SenderIsHeldBackByAFullDeviceAndToldWhenItMayGoOn) {
  bound(pair.b, {kAny, 1000});
  Socket& client = connected(pair.a, {pair.b.address, 1000});
  ASSERT_EQ(send(client, pattern(1)), Error::kNone);  // resolves the neighbour
  while (pair.a.stack.ready().pop() != nullptr) {
  }
  (void)client.take_events();
  pair.a.device.room = 0;
  std::size_t sent = 0;
  Error error = Error::kNone;
  while (error == Error::kNone && sent < 10000) {
    error = send_to(client, pattern(10), nullptr, pair.now).error();
    if (error == Error::kNone) ++sent;
  }
  EXPECT_EQ(error, Error::kAgain);
  EXPECT_EQ(client.readiness() & kWritable, 0u);
  pair.a.stack.flush(pair.now);
  EXPECT_EQ(client.readiness() & kWritable, 0u);
  pair.a.device.room = 1000000;
  pair.a.stack.flush(pair.now);
  EXPECT_EQ(pair.a.stack.ready().pop(), &client);
  EXPECT_EQ(client.take_events(), kWritable);
  EXPECT_NE(client.readiness() & kWritable, 0u);
  EXPECT_EQ(pair.a.interface->counters()[link::Counter::kTxQueueDropped], 0u);
  (void)pair.a.device.take_sent();
}

TEST_F(UdpSocketTest, OneSocketMayNotHaveMoreWaitingForTheDeviceThanItsSendBuffer) {
  bound(pair.b, {kAny, 1000});
  Socket& greedy = connected(pair.a, {pair.b.address, 1000});
  Socket& other = connected(pair.a, {pair.b.address, 1000});
  ASSERT_EQ(send(greedy, pattern(1)), Error::kNone);
  EXPECT_EQ(*greedy.option(SocketOption::kSendBuffer), 212992);
  ASSERT_TRUE(greedy.set_option(SocketOption::kSendBuffer, 5000, pair.now).ok());
  EXPECT_EQ(*greedy.option(SocketOption::kSendBuffer), 10000);
  pair.a.device.room = 0;
  std::size_t sent = 0;
  while (sent < 100 && send_to(greedy, pattern(1000), nullptr, pair.now).ok()) ++sent;
  EXPECT_EQ(sent, 5u) << "of 2,048 bytes of storage each; one may go over the limit";
  EXPECT_EQ(greedy.unsent_bytes(), 5u * 2048);
  EXPECT_TRUE(send_to(other, pattern(1000), nullptr, pair.now).ok());
  pair.a.device.room = 3;
  pair.a.stack.flush(pair.now);
  EXPECT_EQ(greedy.readiness() & kWritable, 0u);
  pair.a.device.room = 1000;
  pair.a.stack.flush(pair.now);
  EXPECT_EQ(greedy.readiness() & kWritable, kWritable);
  EXPECT_EQ(greedy.unsent_bytes(), 0u);
  EXPECT_TRUE(send_to(greedy, pattern(1000), nullptr, pair.now).ok());
  pair.settle();
  (void)pair.a.device.take_sent();
}

// --- receive

TEST_F(UdpSocketTest, ShortBufferTruncatesAndSaysSo) {
  Socket& server = bound(pair.a, {kAny, 1000});
  Socket& client = socket(pair.b);
  ASSERT_EQ(send(client, pattern(100), {pair.a.address, 1000}), Error::kNone);
  ASSERT_EQ(send(client, pattern(5), {pair.a.address, 1000}), Error::kNone);
  EXPECT_EQ(server.readable_bytes(), 100u);
  const auto datagram = receive_from(server, pair.now, 30);
  ASSERT_TRUE(datagram.ok());
  EXPECT_EQ(datagram->data, pattern(30));
  EXPECT_EQ(datagram->received.bytes, 30u);
  EXPECT_EQ(datagram->received.datagram_bytes, 100u);
  EXPECT_EQ(next(server), pattern(5)) << "the rest of the first one is gone";
}

TEST_F(UdpSocketTest, PeekLeavesTheDatagramThere) {
  Socket& server = bound(pair.a, {kAny, 1000});
  ASSERT_EQ(send(socket(pair.b), pattern(10), {pair.a.address, 1000}), Error::kNone);
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(receive_from(server, pair.now, 100, {.peek = true})->data, pattern(10));
  EXPECT_EQ(next(server), pattern(10));
  EXPECT_EQ(receive_error(server), Error::kAgain);
}

TEST_F(UdpSocketTest, ReadinessFollowsTheQueueAndEventsTellOfEachArrival) {
  Socket& server = bound(pair.a, {kAny, 1000});
  Socket& client = socket(pair.b);
  EXPECT_EQ(server.readiness(), kWritable);
  ASSERT_EQ(send(client, pattern(1), {pair.a.address, 1000}), Error::kNone);
  EXPECT_EQ(pair.a.stack.ready().pop(), &server);
  EXPECT_EQ(server.take_events(), kReadable);
  EXPECT_EQ(server.readiness(), kWritable | kReadable);
  ASSERT_EQ(send(client, pattern(1), {pair.a.address, 1000}), Error::kNone);
  EXPECT_EQ(server.take_events(), kReadable) << "new data sets it again";
  EXPECT_EQ(drain(server), 2u);
  EXPECT_EQ(server.readiness(), kWritable);
}

TEST_F(UdpSocketTest, ReceiveQueueIsBoundedByTheStorageItHolds) {
  Socket& server = bound(pair.a, {kAny, 1000});
  ASSERT_TRUE(server.set_option(SocketOption::kReceiveBuffer, 8192, pair.now).ok());
  EXPECT_EQ(*server.option(SocketOption::kReceiveBuffer), 16384) << "doubled, as Linux reads it back";
  Socket& client = socket(pair.b);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(send(client, pattern(1400), {pair.a.address, 1000}), Error::kNone);
  EXPECT_LE(pair.a.stack.pool().bytes_in_use(), 16384u + 2048);
  const std::size_t kept = drain(server);
  EXPECT_GE(kept, 7u);
  EXPECT_EQ(count(pair.a, Counter::kRcvbufErrors), 100 - kept);
  // Small payloads do not hold large storage: many more fit.
  for (int i = 0; i < 100; ++i) ASSERT_EQ(send(client, pattern(40), {pair.a.address, 1000}), Error::kNone);
  EXPECT_GE(drain(server), 30u);
}

TEST_F(UdpSocketTest, QueuedDatagramGivesTheDeviceItsStorageBack) {
  Socket& server = bound(pair.a, {kAny, 1000});
  Socket& client = socket(pair.b);
  pair.a.device.lends = true;
  for (const std::size_t size : {10u, 1472u, 5000u}) {
    ASSERT_EQ(send(client, pattern(size), {pair.a.address, 1000}), Error::kNone);
    EXPECT_EQ(pair.a.device.lent, 0u) << "a slot of a ring is lent for one turn only";
  }
  for (const std::size_t size : {10u, 1472u, 5000u}) {
    const auto datagram = receive_from(server, pair.now);
    ASSERT_TRUE(datagram.ok());
    EXPECT_EQ(datagram->data, pattern(size));
    EXPECT_EQ(datagram->received.from, (Endpoint{pair.b.address, client.local_endpoint().port}));
  }
}

TEST_F(UdpSocketTest, OneLargeDatagramFitsTheSmallestReceiveBuffer) {
  Socket& server = bound(pair.a, {kAny, 1000});
  ASSERT_TRUE(server.set_option(SocketOption::kReceiveBuffer, 0, pair.now).ok());
  EXPECT_EQ(*server.option(SocketOption::kReceiveBuffer), 2304);
  ASSERT_EQ(send(socket(pair.b), pattern(60000), {pair.a.address, 1000}), Error::kNone);
  EXPECT_EQ(next(server), pattern(60000));
}

// --- what comes off the wire

class UdpWire : public UdpSocketTest {
 protected:
  UdpWire() {
    // B's addresses resolve; B itself is left out of what follows.
    send(bound(pair.b, {kAny, 5000}), pattern(1), {pair.a.address, 5000});
    (void)pair.a.device.take_sent();
    icmp_before_ = icmp_sent();
  }
  void receive(const Bytes& udp_message, const Offload& offload = {}) {
    const auto header = ipv4_header(pair.b.address, pair.a.address, wire::kProtocolUdp);
    pair.a.device.inject(ethernet(pair.a.device.address, pair.b.device.address, wire::kEtherTypeIpv4,
                                  ipv4(header, udp_message)),
                         offload);
    pair.a.stack.poll(pair.now, 64);
    (void)pair.a.device.take_sent();
  }
  std::uint64_t icmp_sent() { return pair.a.stack.ip().counters()[ip::Counter::kIcmpOutDestUnreachs]; }
  std::uint64_t new_icmp() { return icmp_sent() - icmp_before_; }
  const Endpoint from_{pair.b.address, 2000}, to_{pair.a.address, 1000};
  std::uint64_t icmp_before_ = 0;
};

TEST_F(UdpWire, WrongChecksumIsDroppedAndZeroMeansNone) {  // RFC 768, RFC 1122 §4.1.3.4
  Socket& server = bound(pair.a, to_);
  Bytes message = udp(from_, to_, pattern(20));
  message.back() ^= 1;
  receive(message);
  EXPECT_EQ(next(server), std::nullopt);
  EXPECT_EQ(count(pair.a, Counter::kInCsumErrors), 1u);
  message[6] = message[7] = 0;
  receive(message);
  EXPECT_TRUE(next(server).has_value());
}

TEST_F(UdpWire, DeviceVerdictReplacesTheChecksum) {
  Socket& server = bound(pair.a, to_);
  Bytes message = udp(from_, to_, pattern(20));
  message[6] ^= 0x55;  // what a partial checksum looks like
  for (const auto verdict : {Offload::RxChecksum::kVerified, Offload::RxChecksum::kPartial}) {
    Offload offload;
    offload.rx_checksum = verdict;
    receive(message, offload);
    EXPECT_EQ(next(server), pattern(20));
  }
  receive(message);
  EXPECT_EQ(next(server), std::nullopt);
}

TEST_F(UdpWire, ChecksumThatComputesToZeroIsSentAsAllOnes) {  // RFC 768
  Socket& client = bound(pair.a, {pair.a.address, 1000});
  ASSERT_TRUE(client.connect(from_, pair.now).ok());
  // The two bytes of payload that make the sum come out as zero.
  const Bytes probe = udp(to_, from_, Bytes(2));
  Bytes data(2);
  std::copy_n(probe.begin() + 6, 2, data.begin());
  ASSERT_TRUE(send_to(client, data, nullptr, pair.now).ok());
  pair.a.stack.flush(pair.now);
  const auto frames = pair.a.device.take_sent();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].bytes[14 + 20 + 6], 0xff);
  EXPECT_EQ(frames[0].bytes[14 + 20 + 7], 0xff);
}

TEST_F(UdpWire, LengthThatDoesNotFitIsAnErrorAndPaddingIsCutOff) {
  Socket& server = bound(pair.a, to_);
  Bytes message = udp(from_, to_, pattern(20));
  store_be16(&message[4], 29);
  receive(message);
  store_be16(&message[4], 7);
  receive(message);
  receive(Bytes(7));
  EXPECT_EQ(count(pair.a, Counter::kInErrors), 3u);
  EXPECT_EQ(next(server), std::nullopt);
  Bytes padded = udp(from_, to_, pattern(20));
  padded.resize(40, 0xee);
  receive(padded);
  EXPECT_EQ(next(server), pattern(20));
}

TEST_F(UdpWire, UnknownPortIsAnsweredWithPortUnreachable) {  // RFC 1122 §4.1.3.1
  receive(udp(from_, to_, pattern(20)));
  EXPECT_EQ(count(pair.a, Counter::kNoPorts), 2u);  // and the fixture's own
  EXPECT_EQ(new_icmp(), 1u);
}

TEST_F(UdpWire, UnknownPortOfABroadcastIsNotAnswered) {  // RFC 1122 §3.2.2
  const Endpoint all{IpAddress::v4(198, 18, 0, 255), 1000};
  const auto header = ipv4_header(pair.b.address, all.address, wire::kProtocolUdp);
  pair.a.device.inject(ethernet(MacAddress::broadcast(), pair.b.device.address, wire::kEtherTypeIpv4,
                                ipv4(header, udp(from_, all, pattern(20)))));
  pair.a.stack.poll(pair.now, 64);
  EXPECT_EQ(new_icmp(), 0u);
}

TEST_F(UdpWire, BadChecksumForAnUnknownPortIsNotAnswered) {
  Bytes message = udp(from_, to_, pattern(20));
  message.back() ^= 1;
  receive(message);
  EXPECT_EQ(new_icmp(), 0u);
}

// --- ICMP errors in

TEST_F(UdpSocketTest, PortUnreachableRefusesTheConnectedSocketOnce) {
  Socket& client = connected(pair.a, {pair.b.address, 4444});
  ASSERT_EQ(send(client, pattern(10)), Error::kNone);
  EXPECT_EQ(client.readiness() & kError, kError);
  EXPECT_EQ(client.take_events() & kError, kError);
  EXPECT_EQ(receive_error(client), Error::kConnectionRefused);
  EXPECT_EQ(receive_error(client), Error::kAgain);
  ASSERT_EQ(send(client, pattern(10)), Error::kNone);
  EXPECT_EQ(send(client, pattern(10)), Error::kConnectionRefused) << "a send tells it too";
  EXPECT_EQ(send(client, pattern(10)), Error::kNone);
  EXPECT_EQ(client.take_error(), Error::kConnectionRefused) << "SO_ERROR tells it as well";
}

TEST_F(UdpSocketTest, UnconnectedSocketIsNotToldOfPortUnreachable) {
  Socket& client = socket(pair.a);
  ASSERT_EQ(send(client, pattern(10), {pair.b.address, 4444}), Error::kNone);
  EXPECT_EQ(client.readiness(), kWritable);
  EXPECT_EQ(receive_error(client), Error::kAgain);
}

TEST_F(UdpSocketTest, PortUnreachableOnTheLoopbackRefusesToo) {
  Socket& client = connected(pair.a, {kLoopback, 4444});
  ASSERT_EQ(send(client, pattern(10)), Error::kNone);
  EXPECT_EQ(receive_error(client), Error::kConnectionRefused);
}

TEST_F(UdpSocketTest, FragmentationNeededLowersThePathMtuOfASocketThatSentThere) {  // RFC 1191
  Socket& client = connected(pair.a, {pair.b.address, 9});
  const auto tell = [&](const Endpoint& from, const Endpoint& to) {
    auto quoted = ipv4_header(from.address, to.address, wire::kProtocolUdp);
    quoted.total_length = 1500;
    wire::Icmpv4Header header;
    header.type = wire::Icmpv4Header::kDestinationUnreachable;
    header.code = wire::Icmpv4Header::kFragmentationNeeded;
    header.rest = 1200;
    const Bytes message = udp(from, to, {});
    pair.a.device.inject(ethernet(pair.a.device.address, pair.b.device.address, wire::kEtherTypeIpv4,
                                  ipv4(ipv4_header(pair.b.address, pair.a.address, wire::kProtocolIcmp),
                                       icmp(header, ipv4(quoted, message)))));
    pair.settle();
  };
  tell({pair.a.address, 1}, {pair.b.address, 9});
  EXPECT_EQ(*client.option(SocketOption::kPathMtu), 1500) << "from no socket of ours";
  tell(client.local_endpoint(), {pair.b.address, 9});
  EXPECT_EQ(*client.option(SocketOption::kPathMtu), 1200);
  EXPECT_EQ(receive_error(client), Error::kMessageSize);
}

}  // namespace
}  // namespace millrace::test
