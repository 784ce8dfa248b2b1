// What ss(8) is told of UDP.

#include "udp/report.h"

#include <map>
#include <string>

#include "udp/udp_fixture.h"

namespace millrace::test {
namespace {

class UdpReport : public UdpSocketTest {
 protected:
  std::vector<SocketReport> walk(std::size_t piece = 64) {
    std::vector<SocketReport> all;
    udp::Walk walk;
    for (bool more = true; more;) {
      std::vector<SocketReport> reports;
      more = walk.next(pair.a.stack.udp(), reports, piece);
      EXPECT_LE(reports.size(), piece);
      all.insert(all.end(), reports.begin(), reports.end());
    }
    return all;
  }
};

TEST_F(UdpReport, HasBoundAndConnectedSockets) {
  Socket& server = bound(pair.a, {kAny, 53});
  Socket& client = connected(pair.a, {pair.b.address, 7});
  socket(pair.a);  // without a port: not listed, as in Linux
  auto reports = walk();
  ASSERT_EQ(reports.size(), 2u);
  if (reports[0].local.port != 53) std::swap(reports[0], reports[1]);
  EXPECT_EQ(reports[0].socket, &server);
  EXPECT_EQ(reports[0].state, 7);
  EXPECT_EQ(reports[0].remote, Endpoint{});
  EXPECT_EQ(reports[1].socket, &client);
  EXPECT_EQ(reports[1].state, 1);
  EXPECT_EQ(reports[1].remote, (Endpoint{pair.b.address, 7}));
  EXPECT_EQ(reports[1].local.address, pair.a.address);
}

TEST_F(UdpReport, CountsWhatIsQueuedAndWhatWasDropped) {
  Socket& server = bound(pair.a, {kAny, 53});
  ASSERT_TRUE(server.set_option(SocketOption::kReceiveBuffer, 0, pair.now).ok());
  Socket& client = socket(pair.b);
  for (int i = 0; i < 100; ++i) send(client, Bytes(100), {pair.a.address, 53});
  const auto reports = walk();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_GE(reports[0].receive_queue, 100u);
  EXPECT_EQ(reports[0].receive_memory, reports[0].receive_queue);
  EXPECT_EQ(reports[0].receive_limit, 2304u);
  const std::uint64_t received = drain(server);
  EXPECT_GT(reports[0].drops, 0u);
  EXPECT_EQ(reports[0].drops + received, 100u);
  EXPECT_EQ(walk()[0].receive_queue, 0u);
}

TEST_F(UdpReport, AWalkInPiecesMissesNoSocketThatStays) {
  // Many of one port, which is walked in several pieces while others of it come and go.
  std::map<const Socket*, int> seen;
  std::vector<Socket*> all;
  for (int i = 0; i < 200; ++i) {
    Socket& made = socket(pair.a);
    ASSERT_TRUE(made.set_option(SocketOption::kReusePort, 1, pair.now).ok());
    ASSERT_TRUE(made.bind({kAny, 5'000}).ok());
    all.push_back(&made);
  }
  udp::Walk walk;
  std::size_t gone = 0;
  for (bool more = true; more;) {
    std::vector<SocketReport> reports;
    more = walk.next(pair.a.stack.udp(), reports, 7);
    for (const SocketReport& report : reports) ++seen[report.socket];
    if (gone < 40) all[3 * gone++]->close(pair.now);
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i % 3 == 0 && i < 3 * gone) continue;
    EXPECT_GE(seen[all[i]], 1) << i;
  }
}

}  // namespace
}  // namespace millrace::test
