// The control socket: what `millrace ss` and `millrace stats` talk to.
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <set>
#include <vector>

#include "control_fixture.h"
#include "posix/control_channel.h"

namespace millrace::posix::test {

namespace {

using std::chrono::steady_clock;

TEST_F(ControlSocket, IsThereForItsOwnerAloneAndEndsWithTheStack) {
  EXPECT_EQ(path(), directory_ + "/" + std::to_string(getpid()) + ".sock");
  struct stat status {};
  ASSERT_EQ(lstat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  const std::string was = path();
  mr_finish();
  EXPECT_NE(lstat(was.c_str(), &status), 0);
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
  start();
  EXPECT_EQ(path(), was) << "and begins with the next";
  EXPECT_EQ(ask("stats 1\n").back(), "end");
}

TEST_F(ControlSocket, TellsWhoItIsAndItsCounters) {
  const int fd = mr_socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in to = address_of("127.0.0.1", 9);
  EXPECT_EQ(mr_sendto(fd, "x", 1, 0, generic(to), sizeof to), 1);
  const Lines lines = ask("stats 1\n");
  EXPECT_EQ(value(lines.front(), "pid"), std::to_string(getpid()));
  EXPECT_EQ(value(lines.front(), "uid"), std::to_string(geteuid()));
  EXPECT_EQ(value(lines.front(), "version"), mr_version());
  EXPECT_NE(std::find(lines.begin(), lines.end(), "stat udp.UdpOutDatagrams=1"), lines.end());
  EXPECT_EQ(lines.back(), "end");
}

TEST_F(ControlSocket, TellsEverySocketWithItsDescriptor) {
  const int listening = listener();
  const std::string port = std::to_string(ntohs(name_of(listening).sin_port));
  const int client = connect_to(listening);
  const auto [one, two] = datagram_pair();
  Lines waiting = with(sockets(" fds"), "state", "LISTEN");
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(value(waiting[0], "local"), "127.0.0.1:" + port);
  EXPECT_EQ(value(waiting[0], "recvq"), "1") << "not accepted yet";
  EXPECT_EQ(value(waiting[0], "sendq"), "128");
  EXPECT_EQ(value(waiting[0], "fd"), std::to_string(listening));

  const int server = mr_accept(listening, nullptr, nullptr);
  ASSERT_EQ(mr_send(client, "hello", 5, 0), 5);
  let_it_sleep();
  const Lines all = sockets(" fds info");
  EXPECT_EQ(with(all, "net", "udp").size(), 2u);
  EXPECT_EQ(with(all, "fd", std::to_string(one)).size(), 1u);
  const Lines accepted = with(all, "fd", std::to_string(server));
  ASSERT_EQ(accepted.size(), 1u);
  EXPECT_EQ(value(accepted[0], "state"), "ESTAB");
  EXPECT_EQ(value(accepted[0], "local"), "127.0.0.1:" + port);
  EXPECT_EQ(value(accepted[0], "recvq"), "5");
  EXPECT_EQ(value(accepted[0], "bytes_received"), "5");
  EXPECT_FALSE(value(accepted[0], "cc").empty());
  const Lines connecting = with(all, "fd", std::to_string(client));
  ASSERT_EQ(connecting.size(), 1u);
  EXPECT_EQ(value(connecting[0], "peer"), "127.0.0.1:" + port);
  EXPECT_EQ(value(connecting[0], "bytes_sent"), "5");

  for (const std::string& line : sockets()) {
    EXPECT_EQ(value(line, "fd"), "") << "not asked for";
    EXPECT_EQ(value(line, "cc"), "");
  }
  mr_close(client);
  char byte[8];
  EXPECT_EQ(mr_recv(server, byte, sizeof byte, 0), 5);
  mr_close(server);
  let_it_sleep();
  const Lines ended = with(sockets(" fds"), "state", "TIME-WAIT");
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(value(ended[0], "timer"), "timewait");
  EXPECT_EQ(value(ended[0], "fd"), "");
}

TEST_F(ControlSocket, RefusesWhatItDoesNotUnderstand) {
  const std::map<std::string, std::string> cases{
      {"\n", "unknown request"},
      {"nonsense\n", "unknown request"},
      {std::string("\0\xff\n", 3), "unknown request"},
      {"sockets\n", "version 1"},
      {"sockets 2\n", "version 1"},
      {"stats one\n", "version 1"},
      {"sockets 1 everything\n", "unknown word"},
      {"stats 1 info\n", "unknown word"},
      {std::string(ControlChannel::kLongestRequest, 'x') + "\n", "too long"},
      {std::string(ControlChannel::kLongestRequest, ' '), "too long"},
  };
  for (const auto& [request, complaint] : cases) {
    const Lines lines = ask(request);
    ASSERT_EQ(lines.size(), 1u) << request;
    EXPECT_EQ(lines[0].substr(0, 6), "error ");
    EXPECT_NE(lines[0].find(complaint), std::string::npos) << request << ": " << lines[0];
  }
  EXPECT_EQ(ask("stats 1\n").back(), "end") << "and goes on";
  EXPECT_EQ(ask(" stats  1 \r\n").back(), "end");
  EXPECT_EQ(Client(path()).say("sta").say("ts 1\nmore").hear().back(), "end") << "in pieces, and beyond";
}

TEST_F(ControlSocket, GivesUpAClientThatSaysNothing) {
  const auto start = steady_clock::now();
  Client silent(path());
  EXPECT_EQ(ask("stats 1\n").back(), "end");
  EXPECT_GE(since(start), std::chrono::milliseconds(500)) << "one client at a time";
  EXPECT_TRUE(silent.hear().empty());
  { Client gone(path()); }
  EXPECT_EQ(ask("stats 1\n").back(), "end");
}

TEST_F(ControlSocket, WorksWithoutPacketMemory) {
  listener();
  Context& context = *Library::instance().context();
  PacketQueue taken;
  {
    ContextLock guard(context);
    while (PacketPtr packet = context.stack().pool().allocate(60'000, 0, Priority::kControl))
      taken.push_back(std::move(packet));
    while (PacketPtr packet = context.stack().pool().allocate(0, 0, Priority::kControl))
      taken.push_back(std::move(packet));
  }
  EXPECT_EQ(sockets(" fds info").size(), 1u);
  EXPECT_EQ(ask("stats 1\n").back(), "end");
  ContextLock guard(context);
  taken.clear();
}

/// 5,000 connections of the process with itself: 10,000 sockets.
class ManySockets : public ControlSocket {
 protected:
  static constexpr int kPairs = 5'000;

  void SetUp() override {
    ControlSocket::SetUp();
    const int listening = listener();
    for (int i = 0; i < kPairs; ++i) {
      clients_.push_back(connect_to(listening));
      servers_.push_back(mr_accept(listening, nullptr, nullptr));
      ASSERT_GE(servers_.back(), 0);
    }
  }
  std::vector<int> clients_, servers_;
};

TEST_F(ManySockets, AreListedWhileAnotherThreadWantsTheLock) {
  std::atomic<bool> done{false};
  std::thread neighbour([&] {
    Context& context = *Library::instance().context();
    while (!done) {
      { const ContextLock guard(context); }
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  });
  const Lines all = sockets(" fds info");
  done = true;
  neighbour.join();
  const Lines open = with(all, "state", "ESTAB");
  EXPECT_EQ(open.size(), 2u * kPairs);
  std::set<std::string> fds, flows;
  for (const std::string& line : open) {
    fds.insert(value(line, "fd"));
    flows.insert(value(line, "local") + value(line, "peer"));
  }
  EXPECT_EQ(fds.size(), 2u * kPairs) << "each has its own descriptor";
  EXPECT_EQ(flows.size(), 2u * kPairs) << "each is listed once";
}

TEST_F(ManySockets, AClientThatStopsReadingIsGivenUp) {
  const auto start = steady_clock::now();
  Client stuck(path());
  stuck.say("sockets 1 info\n");
  const Lines lines = ask("stats 1\n");
  ASSERT_FALSE(lines.empty());
  EXPECT_EQ(lines.back(), "end");
  EXPECT_GE(since(start), std::chrono::milliseconds(1'000));
  const Lines cut = stuck.hear();
  ASSERT_FALSE(cut.empty());
  EXPECT_NE(cut.back(), "end") << "an answer without an end is incomplete";
  // And mr_finish does not wait for such a one to read.
  Client again(path());
  again.say("sockets 1 info\n");
  let_it_sleep();
  mr_finish();
}

TEST_F(ManySockets, MayComeAndGoWhileTheyAreListed) {
  std::atomic<bool> done{false};
  std::thread churn([&] {
    const int listening = listener();
    while (!done && !HasFailure()) {
      const int client = connect_to(listening);
      const int server = mr_accept(listening, nullptr, nullptr);
      // Reset, or TIME-WAIT would use all ports up.
      const linger at_once{1, 0};
      EXPECT_EQ(mr_setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
      mr_close(client);
      mr_close(server);
    }
    mr_close(listening);
  });
  for (int i = 0; i < 5; ++i) {
    std::map<std::string, int> seen;
    for (const std::string& line : sockets(" fds info")) ++seen[value(line, "local") + value(line, "peer")];
    for (const int fd : clients_) {
      sockaddr_in peer{};
      socklen_t length = sizeof peer;
      ASSERT_EQ(mr_getpeername(fd, generic(peer), &length), 0);
      const std::string flow = "127.0.0.1:" + std::to_string(ntohs(name_of(fd).sin_port)) +
                               "127.0.0.1:" + std::to_string(ntohs(peer.sin_port));
      ASSERT_EQ(seen[flow], 1) << flow;
    }
  }
  done = true;
  churn.join();
}

TEST_F(ControlSocket, ItsThreadHasANameAndTakesNoSignals) {
  bool found = false;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name, line, blocked;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name != "millrace-ctl") continue;
    found = true;
    std::ifstream status(task.path() / "status");
    while (std::getline(status, line)) {
      if (line.substr(0, 7) == "SigBlk:") blocked = line.substr(8);
    }
    // All but SIGKILL, SIGSTOP, and the two that are libc's own.
    EXPECT_EQ(std::stoull(blocked, nullptr, 16) | 0x180040100u, ~0ull) << blocked;
  }
  EXPECT_TRUE(found);
}

}  // namespace

}  // namespace millrace::posix::test
