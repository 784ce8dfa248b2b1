#include <gtest/gtest.h>

#include <set>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

/// A connection of the peer's port that nobody has accepted.
void open(TcpScript& t, std::uint16_t port) {
  t.from_port(port).inject(syn().mss(1460));
  t.expect(synack());
  t.inject(ack(1));
  t.expect_nothing();
}

TEST(Backlog, HoldsOneMoreThanItSays) {
  TcpScript t;
  t.listen(2);
  for (std::uint16_t port = 50'000; port < 50'003; ++port) open(t, port);
  t.from_port(50'003).inject(syn().mss(1460));
  t.expect_nothing();
  EXPECT_EQ(t.count(Counter::kListenOverflows), 1u);
  EXPECT_EQ(t.tcp().connection_count(), 3u);
  ASSERT_TRUE(t.accept());
  t.inject(syn().mss(1460));
  t.expect(synack());
}

TEST(Backlog, FullWhenTheAckComesKeepsTheRequestAndRepeatsTheSynAck) {
  TcpScript t;
  t.listen(0);
  t.from_port(50'000).inject(syn().mss(1460));
  t.expect(synack());
  t.from_port(50'001).inject(syn().mss(1460));
  t.expect(synack());
  t.from_port(50'000).inject(ack(1));
  t.from_port(50'001).inject(ack(1));
  t.expect_nothing();
  EXPECT_EQ(t.tcp().connection_count(), 1u);
  EXPECT_EQ(t.tcp().request_count(), 1u);
  EXPECT_EQ(t.count(Counter::kListenOverflows), 1u);
  EXPECT_EQ(t.count(Counter::kListenDrops), 1u);
  ASSERT_TRUE(t.accept());
  t.expect_after(1s, synack());
  t.inject(ack(1));
  EXPECT_TRUE(t.accept());
  t.from_port(50'000).take_sent();  // the first was closed when the second took its place in this test
}

TEST(Backlog, SynQueueIsBounded) {
  TcpScript::Options options;
  options.stack.tcp.max_syn_backlog = 8;
  options.stack.tcp.syn_backlog_source_share = 1;
  options.stack.tcp.syn_cookies = tcp::Config::SynCookies::kOff;
  TcpScript t(options);
  t.listen(1000);
  for (std::uint16_t port = 50'000; port < 50'020; ++port) t.from_port(port).inject(syn().mss(1460));
  EXPECT_EQ(t.take_sent().size(), 8u);
  EXPECT_EQ(t.tcp().request_count(), 8u);
  EXPECT_EQ(t.count(Counter::kReqQFullDrop), 12u);
  t.after(100s);
  t.take_sent();
  EXPECT_EQ(t.tcp().request_count(), 0u) << "half-open requests go away";
}

TEST(Backlog, ListenAgainChangesIt) {
  TcpScript t;
  t.listen(0);
  open(t, 50'000);
  t.from_port(50'001).inject(syn().mss(1460));
  t.expect_nothing();
  EXPECT_TRUE(t.listener().listen(5, t.now()).ok());
  t.inject(syn().mss(1460));
  t.expect(synack());
}

TEST(Backlog, ConnectionsAreBounded) {
  TcpScript::Options options;
  options.stack.tcp.max_connections = 2;
  TcpScript t(options);
  t.listen(10);
  open(t, 50'000);
  open(t, 50'001);
  t.from_port(50'002).inject(syn().mss(1460));
  t.take_sent();
  t.inject(ack(1));
  t.expect_nothing();
  EXPECT_EQ(t.tcp().connection_count(), 2u);
  auto socket = std::move(*t.stack().create_socket(SocketType::kStream));
  EXPECT_EQ(socket->connect({TcpScript::kPeer, 99}, t.now()).error(), Error::kNoMemory);
}

TEST(Accept, IsToldByReadability) {
  TcpScript t;
  t.listen();
  EXPECT_FALSE(t.listener().readiness() & kReadable);
  EXPECT_EQ(t.listener().accept(t.now()).error(), Error::kAgain);
  open(t, 50'000);
  EXPECT_TRUE(t.listener().readiness() & kReadable);
  EXPECT_NE(t.listener().take_events() & kReadable, 0u);
}

TEST(Accept, GivesConnectionsInTheirOrder) {
  TcpScript t;
  t.listen();
  open(t, 50'002);
  open(t, 50'000);
  open(t, 50'001);
  const std::uint16_t order[] = {50'002, 50'000, 50'001};
  std::vector<std::unique_ptr<Socket>> accepted;
  for (const std::uint16_t port : order) {
    accepted.push_back(std::move(*t.listener().accept(t.now())));
    EXPECT_EQ(accepted.back()->remote_endpoint()->port, port);
    EXPECT_EQ(accepted.back()->local_endpoint(), (Endpoint{TcpScript::kOwn, 80}));
  }
  accepted.clear();
  t.flush();
  EXPECT_EQ(t.take_sent().size(), 3u);
}

TEST(Accept, GivesAConnectionThatWasResetMeanwhile) {
  TcpScript t;
  t.listen();
  open(t, 50'000);
  t.inject(rst(1));
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(t.read_error(), Error::kConnectionReset);
  t.close();
  t.close_listener();
  t.expect_clean();
}

TEST(Accept, GivesDataThatCameBeforeIt) {
  TcpScript t;
  t.listen();
  open(t, 50'000);
  t.inject(data(1, 101).fin());
  t.expect(ack(102));
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(t.read(), 100u);
  EXPECT_TRUE(t.at_end_of_file());
}

TEST(Accept, InheritsTheListenersOptions) {
  TcpScript t;
  t.listen();
  EXPECT_TRUE(t.listener().set_option(SocketOption::kNoDelay, 1, t.now()).ok());
  EXPECT_TRUE(t.listener().set_option(SocketOption::kKeepaliveIdle, 55, t.now()).ok());
  open(t, 50'000);
  ASSERT_TRUE(t.accept());
  EXPECT_EQ(*t.socket().option(SocketOption::kNoDelay), 1);
  EXPECT_EQ(*t.socket().option(SocketOption::kKeepaliveIdle), 55);
}

TEST(CloseListener, ResetsWhatNobodyAcceptedAndForgetsRequests) {
  rfc("9293", "3.10.4", "CLOSE in LISTEN: what waits is reset");
  TcpScript t;
  t.listen();
  open(t, 50'000);
  t.from_port(50'001).inject(syn().mss(1460));
  t.expect(synack());
  t.from_port(50'000);
  t.close_listener();
  t.expect(rst(1).ack(1));
  t.expect_nothing_for(100s);
  t.expect_clean();
}

TEST(CloseListener, LeavesAcceptedConnectionsAlone) {
  TcpScript t;
  t.establish();
  t.close_listener();
  t.write(10);
  t.expect(data(1, 11));
  t.from_port(50'000).inject(syn().mss(1460));
  t.expect(rst(0).ack(1));
}

// --- ports

TEST(Ports, SecondListenerIsRefusedUnlessBothReuseThePort) {
  rfc("9293", "3.9.1.1", "MUST-41: a passive OPEN does not interfere with others; MUST-42");
  TcpScript t;
  t.listen();
  auto other = std::move(*t.stack().create_socket(SocketType::kStream));
  EXPECT_EQ(other->bind({TcpScript::kOwn, 80}).error(), Error::kAddressInUse);
  EXPECT_TRUE(other->set_option(SocketOption::kReuseAddress, 1, t.now()).ok());
  EXPECT_EQ(other->bind({TcpScript::kOwn, 80}).error(), Error::kAddressInUse) << "somebody listens there";
  auto one = std::move(*t.stack().create_socket(SocketType::kStream));
  auto two = std::move(*t.stack().create_socket(SocketType::kStream));
  for (Socket* socket : {one.get(), two.get()}) {
    EXPECT_TRUE(socket->set_option(SocketOption::kReusePort, 1, t.now()).ok());
    EXPECT_TRUE(socket->bind({TcpScript::kOwn, 81}).ok());
    EXPECT_TRUE(socket->listen(5, t.now()).ok());
  }
}

TEST(Ports, InTimeWaitCanBeBoundWithReuseAddress) {
  TcpScript t;
  t.establish();
  t.close();
  t.expect(fin(1));
  t.inject(fin(1).ack(2));
  t.expect(ack(2));
  t.close_listener();
  auto strict = std::move(*t.stack().create_socket(SocketType::kStream));
  EXPECT_EQ(strict->bind({TcpScript::kOwn, 80}).error(), Error::kAddressInUse);
  auto lenient = std::move(*t.stack().create_socket(SocketType::kStream));
  EXPECT_TRUE(lenient->set_option(SocketOption::kReuseAddress, 1, t.now()).ok());
  EXPECT_TRUE(lenient->bind({TcpScript::kOwn, 80}).ok());
}

TEST(Ports, EphemeralOnesAreInTheRangeAndDiffer) {
  rfc("6056", "3.3", "ephemeral ports are chosen so that they are hard to guess");
  TcpScript t;
  std::vector<std::unique_ptr<Socket>> sockets;
  std::set<std::uint16_t> ports;
  int steps_of_one = 0;
  std::uint16_t last = 0;
  for (int i = 0; i < 500; ++i) {
    sockets.push_back(std::move(*t.stack().create_socket(SocketType::kStream)));
    EXPECT_EQ(sockets.back()->connect({TcpScript::kPeer, 80}, t.now()).error(), Error::kInProgress);
    const std::uint16_t port = sockets.back()->local_endpoint().port;
    EXPECT_GE(port, 32'768);
    EXPECT_LE(port, 60'999);
    EXPECT_TRUE(ports.insert(port).second) << "twice the same 4-tuple";
    steps_of_one += port == last + 1;
    last = port;
  }
  EXPECT_LT(steps_of_one, 100);
  t.flush();
  t.take_sent();
}

TEST(Ports, RunOutAtTheEndOfTheRange) {
  TcpScript::Options options;
  options.stack.tcp.ephemeral_first = 40'000;
  options.stack.tcp.ephemeral_last = 40'009;
  TcpScript t(options);
  std::vector<std::unique_ptr<Socket>> sockets;
  for (int i = 0; i < 11; ++i) {
    sockets.push_back(std::move(*t.stack().create_socket(SocketType::kStream)));
    const Error error = sockets.back()->connect({TcpScript::kPeer, 80}, t.now()).error();
    EXPECT_EQ(error, i < 10 ? Error::kInProgress : Error::kAddressNotAvailable);
  }
  auto elsewhere = std::move(*t.stack().create_socket(SocketType::kStream));
  EXPECT_EQ(elsewhere->connect({TcpScript::kPeer, 81}, t.now()).error(), Error::kInProgress)
      << "another destination has ports of its own";
  t.flush();
  t.take_sent();
}

// --- initial sequence numbers

TEST(InitialSequenceNumber, GrowsWithTimeForOneTupleAndIsUnrelatedBetweenTuples) {
  rfc("6528", "3", "ISN = M + F(4-tuple, secret), with M a 4 microsecond clock");
  rfc("9293", "3.4.1", "MUST-8: clock-driven; SHLD-1: by a secret function");
  TcpScript t;
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack());
  const SeqNum first = t.our_iss();
  t.inject(rst(1));
  t.after(1s).inject(syn().mss(1460));
  t.expect(synack());
  EXPECT_EQ(t.our_iss() - first, 250'000);
  std::set<std::uint32_t> high;
  for (std::uint16_t port = 50'000; port < 50'010; ++port) {
    t.from_port(port).inject(syn().mss(1460));
    t.expect(synack());
    high.insert(t.our_iss().value() >> 20);
  }
  EXPECT_GE(high.size(), 8u);
}

TEST(InitialSequenceNumber, DependsOnTheSecret) {
  rfc("9293", "3.4.1", "MUST-9: the ISN function is not computable from outside");
  TcpScript::Options options;
  TcpScript one(options);
  options.seed = 2;
  TcpScript two(options);
  for (TcpScript* t : {&one, &two}) {
    t->listen();
    t->inject(syn().mss(1460));
    t->expect(synack());
  }
  EXPECT_NE(one.our_iss(), two.our_iss());
}

}  // namespace
}  // namespace millrace::test
