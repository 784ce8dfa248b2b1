#include <map>
#include <set>

#include "udp_fixture.h"

namespace millrace::test {
namespace {

// --- bind

TEST_F(UdpSocketTest, BindTakesOurAddressesWildcardAndBroadcastOnly) {
  EXPECT_TRUE(socket(pair.a).bind({kAny, 1000}).ok());
  EXPECT_TRUE(socket(pair.a).bind({pair.a.address, 1001}).ok());
  EXPECT_TRUE(socket(pair.a).bind({kLoopback, 1002}).ok());
  EXPECT_TRUE(socket(pair.a).bind({IpAddress::v4(198, 18, 0, 255), 1003}).ok());
  EXPECT_EQ(socket(pair.a).bind({pair.b.address, 1004}).error(), Error::kAddressNotAvailable);
  EXPECT_EQ(socket(pair.a).bind({IpAddress::v6({}), 1005}).error(), Error::kAddressFamily);
}

TEST_F(UdpSocketTest, SecondBindOfOneSocketIsInvalid) {
  Socket& s = bound(pair.a, {kAny, 1000});
  EXPECT_EQ(s.bind({kAny, 1001}).error(), Error::kInvalid);
  EXPECT_EQ(s.local_endpoint(), (Endpoint{kAny, 1000}));
}

TEST_F(UdpSocketTest, PortInUseIsRefusedUnlessAddressesDiffer) {
  bound(pair.a, {pair.a.address, 1000});
  EXPECT_EQ(socket(pair.a).bind({pair.a.address, 1000}).error(), Error::kAddressInUse);
  EXPECT_EQ(socket(pair.a).bind({kAny, 1000}).error(), Error::kAddressInUse);
  EXPECT_TRUE(socket(pair.a).bind({kLoopback, 1000}).ok());
}

TEST_F(UdpSocketTest, ReuseAddressMustBeAskedForByBothAndTheLatestSocketGetsTheDatagrams) {
  Socket& first = socket(pair.a);
  ASSERT_TRUE(first.set_option(SocketOption::kReuseAddress, 1, pair.now).ok());
  ASSERT_TRUE(first.bind({kAny, 1000}).ok());
  EXPECT_EQ(socket(pair.a).bind({kAny, 1000}).error(), Error::kAddressInUse);
  Socket& second = socket(pair.a);
  ASSERT_TRUE(second.set_option(SocketOption::kReuseAddress, 1, pair.now).ok());
  ASSERT_TRUE(second.bind({kAny, 1000}).ok());
  Socket& client = socket(pair.b);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(send(client, pattern(10), {pair.a.address, 1000}), Error::kNone);
  EXPECT_EQ(drain(first), 0u);
  EXPECT_EQ(drain(second), 10u);
}

TEST_F(UdpSocketTest, ReusePortSpreadsFlowsAndKeepsEachFlowTogether) {
  std::vector<Socket*> servers;
  for (int i = 0; i < 4; ++i) {
    servers.push_back(&socket(pair.a));
    ASSERT_TRUE(servers.back()->set_option(SocketOption::kReusePort, 1, pair.now).ok());
    ASSERT_TRUE(servers.back()->bind({kAny, 1000}).ok());
  }
  EXPECT_EQ(socket(pair.a).bind({kAny, 1000}).error(), Error::kAddressInUse) << "it did not ask for it";
  std::vector<Socket*> clients;
  for (int i = 0; i < 64; ++i) clients.push_back(&socket(pair.b));
  for (int round = 0; round < 3; ++round) {
    for (Socket* client : clients)
      ASSERT_EQ(send(*client, pattern(10), {pair.a.address, 1000}), Error::kNone);
  }
  std::map<std::uint16_t, std::set<Socket*>> served_by;
  for (Socket* server : servers) {
    std::size_t got = 0;
    while (auto datagram = receive_from(*server, pair.now)) {
      served_by[datagram->received.from.port].insert(server);
      ++got;
    }
    EXPECT_GE(got, 3u * 4) << "far from its share of 48";
  }
  EXPECT_EQ(served_by.size(), 64u);
  for (const auto& [port, by] : served_by) EXPECT_EQ(by.size(), 1u) << port;
}

TEST_F(UdpSocketTest, PortZeroMeansARandomFreePortOfTheRange) {  // RFC 6056 §3.3.1
  std::set<std::uint16_t> ports;
  int ascending = 0;
  std::uint16_t previous = 0;
  for (int i = 0; i < 100; ++i) {
    const std::uint16_t port = bound(pair.a, {kAny, 0}).local_endpoint().port;
    EXPECT_GE(port, 32768);
    EXPECT_LE(port, 60999);
    ports.insert(port);
    ascending += port == previous + 1;
    previous = port;
  }
  EXPECT_EQ(ports.size(), 100u);
  EXPECT_LT(ascending, 5);
}

TEST(UdpPorts, ExhaustedRangeIsAddressInUseForBindAndAgainForSend) {
  StackConfig config;
  config.udp.ephemeral_first = 40000;
  config.udp.ephemeral_last = 40003;
  StackPair pair({}, 1500, config);
  std::vector<std::unique_ptr<Socket>> sockets;
  for (int i = 0; i < 4; ++i) {
    sockets.push_back(std::move(*pair.a.stack.create_socket(SocketType::kDatagram)));
    ASSERT_TRUE(sockets.back()->bind({kAny, 0}).ok());
  }
  const auto late = std::move(*pair.a.stack.create_socket(SocketType::kDatagram));
  EXPECT_EQ(late->bind({kAny, 0}).error(), Error::kAddressInUse);
  const Endpoint to{pair.b.address, 9};
  EXPECT_EQ(send_to(*late, pattern(1), &to, pair.now).error(), Error::kAgain);
  sockets.pop_back();
  EXPECT_TRUE(late->bind({kAny, 0}).ok());
}

// --- connect

TEST_F(UdpSocketTest, ConnectChoosesPortAndSourceAddressAndDisconnectForgetsThem) {
  Socket& s = connected(pair.a, {pair.b.address, 9});
  EXPECT_EQ(s.local_endpoint().address, pair.a.address);
  EXPECT_NE(s.local_endpoint().port, 0);
  EXPECT_EQ(*s.remote_endpoint(), (Endpoint{pair.b.address, 9}));
  ASSERT_TRUE(s.disconnect(pair.now).ok());
  EXPECT_EQ(s.local_endpoint(), (Endpoint{kAny, 0}));
  EXPECT_EQ(s.remote_endpoint().error(), Error::kNotConnected);
}

TEST_F(UdpSocketTest, DisconnectKeepsWhatBindChose) {
  Socket& s = bound(pair.a, {kAny, 1000});
  ASSERT_TRUE(s.connect({pair.b.address, 9}, pair.now).ok());
  EXPECT_EQ(s.local_endpoint(), (Endpoint{pair.a.address, 1000}));
  ASSERT_TRUE(s.disconnect(pair.now).ok());
  EXPECT_EQ(s.local_endpoint(), (Endpoint{kAny, 1000}));
}

TEST_F(UdpSocketTest, ConnectedSocketHearsOnlyItsPeerAndComesBeforeTheOthers) {
  Socket& server = bound(pair.a, {kAny, 1000});
  Socket& client = bound(pair.b, {kAny, 2000});
  Socket& stranger = bound(pair.b, {kAny, 2001});
  Socket& dedicated = socket(pair.a);
  ASSERT_TRUE(server.set_option(SocketOption::kReuseAddress, 1, pair.now).ok());
  ASSERT_TRUE(dedicated.set_option(SocketOption::kReuseAddress, 1, pair.now).ok());
  ASSERT_TRUE(dedicated.bind({kAny, 1000}).ok());
  ASSERT_TRUE(dedicated.connect({pair.b.address, 2000}, pair.now).ok());
  ASSERT_EQ(send(client, bytes_of("peer"), {pair.a.address, 1000}), Error::kNone);
  ASSERT_EQ(send(stranger, bytes_of("stranger"), {pair.a.address, 1000}), Error::kNone);
  EXPECT_EQ(next(dedicated), bytes_of("peer"));
  EXPECT_EQ(next(dedicated), std::nullopt);
  EXPECT_EQ(next(server), bytes_of("stranger"));
  EXPECT_EQ(next(server), std::nullopt);
}

TEST_F(UdpSocketTest, MostSpecificBindingWins) {
  Socket& any = bound(pair.a, {kAny, 1000});
  Socket& exact = socket(pair.a);
  ASSERT_TRUE(any.set_option(SocketOption::kReuseAddress, 1, pair.now).ok());
  ASSERT_TRUE(exact.set_option(SocketOption::kReuseAddress, 1, pair.now).ok());
  ASSERT_TRUE(exact.bind({pair.a.address, 1000}).ok());
  Socket& client = socket(pair.b);
  Socket& local = socket(pair.a);
  ASSERT_EQ(send(client, bytes_of("far"), {pair.a.address, 1000}), Error::kNone);
  ASSERT_EQ(send(local, bytes_of("near"), {kLoopback, 1000}), Error::kNone);
  EXPECT_EQ(next(exact), bytes_of("far"));
  EXPECT_EQ(next(any), bytes_of("near"));
}

TEST_F(UdpSocketTest, ConnectedSocketMaySendElsewhereToo) {
  Socket& other = bound(pair.b, {kAny, 3000});
  Socket& s = connected(pair.a, {pair.b.address, 9});
  ASSERT_EQ(send(s, pattern(5), {pair.b.address, 3000}), Error::kNone);
  EXPECT_EQ(next(other), pattern(5));
}

TEST_F(UdpSocketTest, DestinationOfZeroMeansThisHost) {
  Socket& server = bound(pair.a, {kAny, 1000});
  ASSERT_EQ(send(connected(pair.a, {kAny, 1000}), bytes_of("one")), Error::kNone);
  ASSERT_EQ(send(socket(pair.a), bytes_of("two"), {kAny, 1000}), Error::kNone);
  EXPECT_EQ(next(server), bytes_of("one"));
  EXPECT_EQ(next(server), bytes_of("two"));
  EXPECT_EQ(pair.a.interface->counters()[link::Counter::kTxFrames], 0u);
}

TEST_F(UdpSocketTest, UnreachableNetworkIsToldAtOnce) {
  const Endpoint far{IpAddress::v4(203, 0, 113, 1), 9};
  EXPECT_EQ(socket(pair.a).connect(far, pair.now).error(), Error::kNetworkUnreachable);
  EXPECT_EQ(send(socket(pair.a), pattern(1), far), Error::kNetworkUnreachable);
}

// --- shutdown, close, options

TEST_F(UdpSocketTest, ShutdownIsWhatLinuxMakesOfIt) {
  Socket& s = bound(pair.a, {kAny, 1000});
  EXPECT_EQ(s.shutdown(Shutdown::kRead, pair.now).error(), Error::kNotConnected) << "it says so, and does it";
  EXPECT_EQ(s.readiness(), kWritable | kReadable | kReadHangup);
  EXPECT_EQ(next(s), Bytes{}) << "end of file";
  ASSERT_TRUE(s.connect({pair.b.address, 9}, pair.now).ok());
  ASSERT_TRUE(s.shutdown(Shutdown::kWrite, pair.now).ok());
  EXPECT_EQ(s.readiness(), kWritable | kReadable | kReadHangup | kHangup);
  EXPECT_EQ(send(s, pattern(1)), Error::kPipe);
}

TEST_F(UdpSocketTest, CloseFreesPortAndQueueAndMayBeRepeated) {
  Socket& server = bound(pair.a, {kAny, 1000});
  ASSERT_EQ(send(socket(pair.b), pattern(1000), {pair.a.address, 1000}), Error::kNone);
  EXPECT_EQ(pair.a.stack.pool().packets_in_use(), 1u);
  server.close(pair.now);
  server.close(pair.now);
  EXPECT_EQ(pair.a.stack.pool().packets_in_use(), 0u);
  EXPECT_TRUE(socket(pair.a).bind({kAny, 1000}).ok());
}

TEST_F(UdpSocketTest, OptionsThatAreNotUdpsAreRefused) {
  Socket& s = socket(pair.a);
  for (const SocketOption option :
       {SocketOption::kNoDelay, SocketOption::kKeepalive, SocketOption::kCongestion, SocketOption::kCork}) {
    EXPECT_EQ(s.set_option(option, 1, pair.now).error(), Error::kProtocolNotAvailable);
    EXPECT_EQ(s.option(option).error(), Error::kProtocolNotAvailable);
  }
  EXPECT_EQ(s.set_option(SocketOption::kPathMtu, 1, pair.now).error(), Error::kProtocolNotAvailable);
  EXPECT_EQ(s.option(SocketOption::kPathMtu).error(), Error::kNotConnected);
  EXPECT_EQ(*s.option(SocketOption::kReuseAddress), 0);
}

TEST_F(UdpSocketTest, TenThousandSocketsEachGetTheirOwn) {
  std::vector<Socket*> servers;
  for (std::uint32_t i = 0; i < 10000; ++i)
    servers.push_back(&bound(pair.a, {kAny, static_cast<std::uint16_t>(2000 + i)}));
  Socket& client = socket(pair.b);
  for (std::uint32_t i = 0; i < 10000; i += 97) {
    const Endpoint to{pair.a.address, static_cast<std::uint16_t>(2000 + i)};
    ASSERT_EQ(send(client, bytes_of(std::to_string(i)), to), Error::kNone);
    ASSERT_EQ(next(*servers[i]), bytes_of(std::to_string(i)));
  }
}

}  // namespace
}  // namespace millrace::test
