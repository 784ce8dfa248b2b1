// Calls that sleep, and who wakes them.
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <numeric>
#include <vector>

#include "stack_fixture.h"

namespace millrace::posix::test {

namespace {

using std::chrono::steady_clock;
using Blocking = StackFixture;

TEST_F(Blocking, RecvSleepsUntilDataComes) {
  const auto [client, server] = connection();
  std::thread reader([fd = server] {
    char data[8];
    EXPECT_EQ(mr_recv(fd, data, sizeof data, 0), 5);
    EXPECT_EQ(std::string(data, 5), "hello");
  });
  let_it_sleep();
  EXPECT_EQ(mr_send(client, "hello", 5, 0), 5);
  reader.join();
}

TEST_F(Blocking, OthersGetTheirTurnWhileOneThreadBusyPolls) {
  constexpr int kHalfAnHour = 1'800'000'000;
  mr_finish();
  start(kHalfAnHour);
  const auto [silent_client, silent_server] = connection();
  const auto [client, server] = connection();
  std::thread poller([fd = silent_server] {
    char byte;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), 1);
  });
  let_it_sleep();  // or rather poll
  std::vector<std::thread> others;
  for (int i = 0; i < 3; ++i) {
    others.emplace_back([] {
      const auto [from, to] = datagram_pair();
      char byte;
      for (int n = 0; n < 500; ++n) {
        EXPECT_EQ(mr_send(from, "x", 1, 0), 1);
        EXPECT_EQ(mr_recv(to, &byte, 1, 0), 1);
      }
      mr_close(from);
      mr_close(to);
    });
  }
  for (std::thread& other : others) other.join();
  EXPECT_EQ(mr_send(client, "x", 1, 0), 1);
  char byte;
  EXPECT_EQ(mr_recv(server, &byte, 1, 0), 1);
  EXPECT_EQ(mr_send(silent_client, "x", 1, 0), 1);
  poller.join();
}

TEST_F(Blocking, AcceptSleepsUntilSomebodyConnects) {
  const int listening = listener();
  std::thread acceptor([listening] { EXPECT_GE(mr_accept(listening, nullptr, nullptr), 0); });
  let_it_sleep();
  connect_to(listening);
  acceptor.join();
}

TEST_F(Blocking, SendSleepsUntilThereIsRoom) {
  const auto [client, server] = connection();
  constexpr std::size_t kSize = 32u << 20;  // far more than both buffers hold
  std::thread writer([fd = client] {
    std::vector<char> data(kSize);
    std::iota(data.begin(), data.end(), char{0});
    EXPECT_EQ(mr_send(fd, data.data(), data.size(), 0), static_cast<ssize_t>(kSize));
    mr_shutdown(fd, SHUT_WR);
  });
  let_it_sleep();
  std::vector<char> data(100'000);
  std::size_t total = 0;
  for (;;) {
    const ssize_t got = mr_recv(server, data.data(), data.size(), 0);
    ASSERT_GE(got, 0) << strerror(errno);
    if (got == 0) break;
    for (ssize_t i = 0; i < got; ++i) {
      ASSERT_EQ(data[static_cast<std::size_t>(i)], static_cast<char>(total + static_cast<std::size_t>(i)));
    }
    total += static_cast<std::size_t>(got);
  }
  EXPECT_EQ(total, kSize);
  writer.join();
}

TEST_F(Blocking, WaitAllGathersAcrossSleeps) {
  const auto [client, server] = connection();
  std::thread reader([fd = server] {
    char data[9];
    EXPECT_EQ(mr_recv(fd, data, sizeof data, MSG_WAITALL), 9);
    EXPECT_EQ(std::string(data, 9), "abcdefghi");
  });
  for (const char* piece : {"abc", "def", "ghi"}) {
    let_it_sleep();
    EXPECT_EQ(mr_send(client, piece, 3, 0), 3);
  }
  reader.join();
}

/// Reading opens the window, and on the loopback the call itself brings in what that lets go: nobody tells
/// it.
TEST_F(Blocking, WaitAllSeesWhatItsOwnReadSetInMotion) {
  const int listening = listener(), small = 4096;
  ASSERT_EQ(mr_setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
  const int client = connect_to(listening), server = mr_accept(listening, nullptr, nullptr);
  const std::string piece(1000, 'x');
  std::size_t sent = 0;
  for (ssize_t n; (n = mr_send(client, piece.data(), piece.size(), MSG_DONTWAIT)) > 0;)
    sent += static_cast<std::size_t>(n);
  ASSERT_GT(sent, std::size_t{100'000}) << "more than the window";
  const timeval patience{3, 0};
  ASSERT_EQ(mr_setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
  for (std::size_t left = sent; left != 0;) {
    std::string data(std::min<std::size_t>(left, 6000), '\0');
    ASSERT_EQ(mr_recv(server, data.data(), data.size(), MSG_WAITALL), static_cast<ssize_t>(data.size()));
    left -= data.size();
  }
}

TEST_F(Blocking, PeekWaitAllWaitsForAllAndLeavesIt) {
  const auto [client, server] = connection();
  std::thread reader([fd = server] {
    char data[6];
    EXPECT_EQ(mr_recv(fd, data, sizeof data, MSG_WAITALL | MSG_PEEK), 6);
    EXPECT_EQ(mr_recv(fd, data, sizeof data, 0), 6);
  });
  for (const char* piece : {"abc", "def"}) {
    let_it_sleep();
    EXPECT_EQ(mr_send(client, piece, 3, 0), 3);
  }
  reader.join();
}

TEST_F(Blocking, EveryReaderOfItsOwnSocketIsWoken) {
  constexpr int kPairs = 8;
  std::vector<std::pair<int, int>> pairs;
  for (int i = 0; i < kPairs; ++i) pairs.push_back(datagram_pair());
  std::vector<std::thread> readers;
  for (const auto& pair : pairs) {
    readers.emplace_back([fd = pair.second] {
      char byte;
      for (int i = 0; i < 20; ++i) EXPECT_EQ(mr_recv(fd, &byte, 1, 0), 1);
    });
  }
  let_it_sleep();
  for (int i = 0; i < 20; ++i) {
    for (const auto& pair : pairs) EXPECT_EQ(mr_send(pair.first, "x", 1, 0), 1);
  }
  for (std::thread& reader : readers) reader.join();
}

TEST_F(Blocking, ManyAcceptorsShareOneListener) {
  constexpr int kThreads = 4, kEach = 25;
  const int listening = listener();
  std::atomic<int> accepted{0};
  std::vector<std::thread> acceptors;
  for (int i = 0; i < kThreads; ++i) {
    acceptors.emplace_back([&] {
      for (int k = 0; k < kEach; ++k) {
        const int fd = mr_accept(listening, nullptr, nullptr);
        EXPECT_GE(fd, 0);
        ++accepted;
        mr_close(fd);
      }
    });
  }
  let_it_sleep();
  for (int i = 0; i < kThreads * kEach; ++i) mr_close(connect_to(listening));
  for (std::thread& acceptor : acceptors) acceptor.join();
  EXPECT_EQ(accepted, kThreads * kEach);
}

TEST_F(Blocking, PingPongBetweenTwoThreads) {
  const auto [client, server] = connection();
  constexpr int kRounds = 3000;
  std::thread echo([fd = server] {
    char byte;
    for (int i = 0; i < kRounds; ++i) {
      ASSERT_EQ(mr_recv(fd, &byte, 1, 0), 1);
      ASSERT_EQ(mr_send(fd, &byte, 1, 0), 1);
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    char byte = static_cast<char>(i);
    ASSERT_EQ(mr_send(client, &byte, 1, 0), 1);
    ASSERT_EQ(mr_recv(client, &byte, 1, 0), 1);
    ASSERT_EQ(byte, static_cast<char>(i));
  }
  echo.join();
}

// --- close

TEST_F(Blocking, CloseWakesAReader) {
  const auto [client, server] = connection();
  std::thread reader([fd = server] {
    char byte;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), -1);
    EXPECT_EQ(errno, EBADF);
  });
  let_it_sleep();
  EXPECT_EQ(mr_close(server), 0);
  reader.join();
}

TEST_F(Blocking, CloseWakesAnAcceptor) {
  const int listening = listener();
  std::thread acceptor([listening] {
    EXPECT_EQ(mr_accept(listening, nullptr, nullptr), -1);
    EXPECT_EQ(errno, EBADF);
  });
  let_it_sleep();
  EXPECT_EQ(mr_close(listening), 0);
  acceptor.join();
}

TEST_F(Blocking, CloseOfASetWakesWhoWaitsForIt) {
  const int epoll = mr_epoll_create1(0);
  std::thread waiter([epoll] {
    epoll_event event;
    EXPECT_EQ(mr_epoll_wait(epoll, &event, 1, -1), -1);
    EXPECT_EQ(errno, EBADF);
  });
  let_it_sleep();
  EXPECT_EQ(mr_close(epoll), 0);
  waiter.join();
}

TEST_F(Blocking, CloseIsSeenByAPoll) {
  const auto [client, server] = connection();
  std::thread waiter([fd = server] {
    pollfd entry{fd, POLLIN, 0};
    EXPECT_EQ(mr_poll(&entry, 1, -1), 1);
    EXPECT_EQ(entry.revents, POLLNVAL);
  });
  let_it_sleep();
  EXPECT_EQ(mr_close(server), 0);
  waiter.join();
}

TEST_F(Blocking, ShutdownWakesAReaderWithTheEnd) {
  const auto [client, server] = connection();
  std::thread reader([fd = server] {
    char byte;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), 0);
  });
  let_it_sleep();
  EXPECT_EQ(mr_shutdown(server, SHUT_RD), 0);
  reader.join();
}

TEST_F(Blocking, LingerWaitsForThePeerToAcknowledge) {
  const auto [client, server] = connection();
  const linger long_enough{1, 600};  // the suite is stopped before
  ASSERT_EQ(mr_setsockopt(client, SOL_SOCKET, SO_LINGER, &long_enough, sizeof long_enough), 0);
  EXPECT_EQ(mr_send(client, "bye", 3, 0), 3);
  EXPECT_EQ(mr_close(client), 0);
  char data[4];
  EXPECT_EQ(mr_recv(server, data, sizeof data, 0), 3);
  EXPECT_EQ(mr_recv(server, data, sizeof data, 0), 0);
}

TEST_F(Blocking, LingerGivesUpInTheEnd) {
  const auto [client, server] = connection();
  const linger one{1, 1};
  ASSERT_EQ(mr_setsockopt(client, SOL_SOCKET, SO_LINGER, &one, sizeof one), 0);
  ASSERT_EQ(mr_fcntl(client, F_SETFL, O_NONBLOCK), 0);
  std::vector<char> data(1 << 20);
  while (mr_send(client, data.data(), data.size(), 0) > 0) {
  }
  const auto start = steady_clock::now();
  EXPECT_EQ(mr_close(client), 0);  // the server reads nothing
  EXPECT_GE(since(start).count(), 990);
}

// --- timeouts

TEST_F(Blocking, TimeoutsAreKept) {
  const auto [client, server] = connection();
  const timeval limit{0, 50'000};
  ASSERT_EQ(mr_setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  const auto start = steady_clock::now();
  char byte;
  EXPECT_EQ(mr_recv(client, &byte, 1, 0), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GE(since(start).count(), 50);
}

TEST_F(Blocking, SendTimesOutWithWhatWasQueued) {
  const auto [client, server] = connection();
  const timeval limit{0, 50'000};
  ASSERT_EQ(mr_setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
  std::vector<char> data(64u << 20);
  const ssize_t sent = mr_send(client, data.data(), data.size(), 0);
  EXPECT_GT(sent, 0);
  EXPECT_LT(sent, static_cast<ssize_t>(data.size()));
  EXPECT_EQ(mr_send(client, data.data(), data.size(), 0), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(Blocking, FollowersKeepTheirTimeoutsToo) {
  const auto [a, b] = datagram_pair();
  std::thread leader([fd = b] {
    char byte;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), 1);
  });
  let_it_sleep();
  pollfd entry{a, POLLIN, 0};
  const auto start = steady_clock::now();
  EXPECT_EQ(mr_poll(&entry, 1, 50), 0);
  EXPECT_GE(since(start).count(), 50);
  EXPECT_EQ(mr_send(a, "x", 1, 0), 1);
  leader.join();
}

// --- signals

std::atomic<int> handled{0};
void count_signal(int /*signal*/) {
  ++handled;
}

class Signals : public StackFixture {
 protected:
  void handle(int flags) {
    handled = 0;
    struct sigaction action {};
    action.sa_handler = count_signal;
    action.sa_flags = flags;
    ASSERT_EQ(sigaction(SIGUSR1, &action, &before_), 0);
  }
  void TearDown() override {
    sigaction(SIGUSR1, &before_, nullptr);
    StackFixture::TearDown();
  }
  /// A thread that makes one call; the signal comes until the call has ended (a machine may be slow to begin
  /// it).
  static void interrupt(const std::function<void()>& call) {
    std::atomic<bool> done{false};
    std::thread thread([&] {
      call();
      done = true;
    });
    while (!done) {
      let_it_sleep();
      if (!done) pthread_kill(thread.native_handle(), SIGUSR1);
    }
    thread.join();
    EXPECT_GE(handled, 1);
  }
  struct sigaction before_ {};
};

TEST_F(Signals, EndARecvWithoutRestart) {
  handle(0);
  const auto [client, server] = connection();
  interrupt([fd = server] {
    char byte;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), -1);
    EXPECT_EQ(errno, EINTR);
  });
}

TEST_F(Signals, DoNotEndARecvWithRestart) {
  handle(SA_RESTART);
  const auto [client, server] = connection();
  std::thread reader([fd = server] {
    char byte;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), 1);
  });
  let_it_sleep();
  pthread_kill(reader.native_handle(), SIGUSR1);
  for (int waited = 0; handled == 0 && waited < 100; ++waited) let_it_sleep();
  let_it_sleep();
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(mr_send(client, "x", 1, 0), 1);
  reader.join();
}

TEST_F(Signals, EndARecvWithATimeoutEvenWithRestart) {
  handle(SA_RESTART);
  const auto [client, server] = connection();
  const timeval limit{5, 0};
  ASSERT_EQ(mr_setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  interrupt([fd = server] {
    char byte;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), -1);
    EXPECT_EQ(errno, EINTR);
  });
}

TEST_F(Signals, AlwaysEndEpollAndPoll) {
  handle(SA_RESTART);
  const int epoll = mr_epoll_create1(0);
  const int listening = listener();
  const auto [a, b] = datagram_pair();
  std::thread leader([fd = b] {  // sleeps on the device, so that the other two follow
    char byte;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), 1);
  });
  let_it_sleep();
  interrupt([epoll] {
    epoll_event event;
    EXPECT_EQ(mr_epoll_wait(epoll, &event, 1, -1), -1);
    EXPECT_EQ(errno, EINTR);
  });
  interrupt([listening] {
    pollfd entry{listening, POLLIN, 0};
    EXPECT_EQ(mr_poll(&entry, 1, -1), -1);
    EXPECT_EQ(errno, EINTR);
  });
  EXPECT_EQ(mr_send(a, "x", 1, 0), 1);
  leader.join();
  // And as the leader.
  interrupt([epoll] {
    epoll_event event;
    EXPECT_EQ(mr_epoll_wait(epoll, &event, 1, -1), -1);
    EXPECT_EQ(errno, EINTR);
  });
}

/// The leader is interrupted and hands over to a follower, who is interrupted just then.
TEST_F(Signals, AreNotLostWhenLeadershipPassesOn) {
  handle(0);
  const int epoll = mr_epoll_create1(0);
  constexpr int kRounds = 10;
  int kills = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::atomic<int> done{0};
    std::atomic<pid_t> ids[2] = {0, 0};
    const auto wait = [&](std::atomic<pid_t>& id) {
      epoll_event event;
      id = gettid();
      EXPECT_EQ(mr_epoll_wait(epoll, &event, 1, -1), -1);
      EXPECT_EQ(errno, EINTR);
      ++done;
    };
    std::thread one(wait, std::ref(ids[0])), two(wait, std::ref(ids[1]));
    for (const auto& id : ids) {
      while (id == 0) std::this_thread::yield();
      until_asleep(id);
    }
    let_it_sleep();
    while (done < 2) {
      ++kills;
      pthread_kill(one.native_handle(), SIGUSR1);
      pthread_kill(two.native_handle(), SIGUSR1);
      const auto start = steady_clock::now();
      while (done < 2 && since(start).count() < 5000)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    one.join();
    two.join();
  }
  EXPECT_LE(kills, kRounds + 2) << "but for a thread that was late to fall asleep";
}

TEST_F(Signals, EndAFollowersRecvAsWell) {
  handle(0);
  const auto [a, b] = datagram_pair();
  std::thread leader([fd = a] {
    char byte;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), 1);
  });
  let_it_sleep();
  interrupt([fd = b] {
    char byte;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), -1);
    EXPECT_EQ(errno, EINTR);
  });
  EXPECT_EQ(mr_send(b, "x", 1, 0), 1);
  leader.join();
}

TEST_F(Signals, BlockedByTheThreadButNotByThePwaitMaskEndIt) {
  handle(0);
  sigset_t usr1, before, none;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &usr1, &before);
  sigemptyset(&none);
  pthread_kill(pthread_self(), SIGUSR1);  // pending from here on
  const int epoll = mr_epoll_create1(0);
  epoll_event event;
  EXPECT_EQ(mr_epoll_wait(epoll, &event, 1, 10), 0);
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(mr_epoll_pwait(epoll, &event, 1, -1, &none), -1);
  EXPECT_EQ(errno, EINTR);
  EXPECT_EQ(handled, 1);
  pthread_kill(pthread_self(), SIGUSR1);
  EXPECT_EQ(mr_epoll_pwait(epoll, &event, 1, 0, &none), -1) << "even without any wait";
  EXPECT_EQ(errno, EINTR);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(Signals, AreSeenWhileBusyPolling) {
  mr_finish();
  start(30'000'000);
  handle(0);
  const int listening = listener();
  interrupt([listening] {
    pollfd entry{listening, POLLIN, 0};
    EXPECT_EQ(mr_poll(&entry, 1, -1), -1);
    EXPECT_EQ(errno, EINTR);
  });
}

TEST_F(Signals, SigpipeComesUnlessAskedNot) {
  struct sigaction action {
  }, old{};
  action.sa_handler = count_signal;
  ASSERT_EQ(sigaction(SIGPIPE, &action, &old), 0);
  handled = 0;
  const auto [client, server] = connection();
  EXPECT_EQ(mr_shutdown(client, SHUT_WR), 0);
  EXPECT_EQ(mr_send(client, "x", 1, MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(mr_send(client, "x", 1, 0), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(mr_write(client, "x", 1), -1);
  EXPECT_EQ(handled, 2);
  const auto [a, b] = datagram_pair();
  EXPECT_EQ(mr_shutdown(a, SHUT_WR), 0);
  EXPECT_EQ(mr_send(a, "x", 1, 0), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(handled, 2) << "only streams raise it";
  sigaction(SIGPIPE, &old, nullptr);
}

}  // namespace

}  // namespace millrace::posix::test
