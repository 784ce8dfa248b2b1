// The stack's descriptors and the kernel's in one wait.
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <set>
#include <vector>

#include "stack_fixture.h"

namespace millrace::posix::test {

namespace {

using std::chrono::steady_clock;

class Mixed : public StackFixture {
 protected:
  void SetUp() override {
    StackFixture::SetUp();
    event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_ = mr_epoll_create1(EPOLL_CLOEXEC);
    std::tie(client_, server_) = connection();
  }
  void TearDown() override {
    close(event_);
    StackFixture::TearDown();
  }
  void watch(int fd, std::uint32_t events, int id) const {
    epoll_event event{};
    event.events = events;
    event.data.u64 = static_cast<std::uint64_t>(id);
    ASSERT_EQ(mr_epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), 0) << strerror(errno);
  }
  void ring() const {
    const std::uint64_t one = 1;
    ASSERT_EQ(write(event_, &one, sizeof one), 8);
  }
  std::set<std::uint64_t> wait(int max, int timeout) const {
    std::vector<epoll_event> events(static_cast<std::size_t>(max));
    const int count = mr_epoll_wait(epoll_, events.data(), max, timeout);
    EXPECT_GE(count, 0) << strerror(errno);
    std::set<std::uint64_t> ids;
    // A copy: the field of the packed structure is not aligned.
    for (int i = 0; i < count; ++i) ids.insert(std::uint64_t{events[static_cast<std::size_t>(i)].data.u64});
    return ids;
  }
  using Ids = std::set<std::uint64_t>;

  int event_ = -1, epoll_ = -1, client_ = -1, server_ = -1;
};

TEST_F(Mixed, KernelDescriptorWakesTheSleeper) {
  watch(server_, EPOLLIN, 1);
  watch(event_, EPOLLIN, 2);
  std::thread ringer([this] {
    let_it_sleep();
    ring();
  });
  EXPECT_EQ(wait(8, 5000), Ids{2});
  ringer.join();
}

TEST_F(Mixed, SocketWakesTheSleeper) {
  watch(server_, EPOLLIN, 1);
  watch(event_, EPOLLIN, 2);
  std::thread sender([this] {
    let_it_sleep();
    EXPECT_EQ(mr_send(client_, "x", 1, 0), 1);
  });
  EXPECT_EQ(wait(8, 5000), Ids{1});
  sender.join();
}

TEST_F(Mixed, BothAreReported) {
  watch(server_, EPOLLIN, 1);
  watch(event_, EPOLLIN, 2);
  ring();
  EXPECT_EQ(mr_send(client_, "x", 1, 0), 1);
  Ids seen;
  for (int i = 0; i < 20 && seen.size() < 2; ++i) seen.merge(wait(8, 100));
  EXPECT_EQ(seen, (Ids{1, 2}));
}

TEST_F(Mixed, KernelDescriptorIsSeenWithinSixteenWaitsOfABusySocket) {
  watch(client_, EPOLLOUT, 1);  // always ready
  watch(event_, EPOLLIN, 2);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(wait(1, 0), Ids{1});
  ring();
  int waits = 1;
  while (!wait(1, -1).contains(2)) ASSERT_LE(++waits, 17);
}

TEST_F(Mixed, BusyKernelDescriptorDoesNotShutSocketsOut) {
  watch(event_, EPOLLIN, 2);
  watch(client_, EPOLLOUT, 1);
  ring();
  int sockets = 0;
  for (int i = 0; i < 64; ++i) sockets += wait(1, 0).contains(1) ? 1 : 0;
  EXPECT_GE(sockets, 32);
}

TEST_F(Mixed, KernelDescriptorAddedWhileAThreadSleepsIsWatched) {
  watch(server_, EPOLLIN, 1);
  std::thread waiter([this] { EXPECT_EQ(wait(8, 5000), Ids{2}); });
  let_it_sleep();
  watch(event_, EPOLLIN, 2);
  let_it_sleep();
  ring();
  waiter.join();
}

TEST_F(Mixed, AFollowerMayWaitForKernelDescriptorsToo) {
  const auto [a, b] = datagram_pair();
  std::thread leader([fd = b] {
    char byte;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), 1);
  });
  let_it_sleep();
  watch(event_, EPOLLIN, 2);
  std::thread follower([this] { EXPECT_EQ(wait(8, 5000), Ids{2}); });
  let_it_sleep();
  ring();
  follower.join();
  EXPECT_EQ(mr_send(a, "x", 1, 0), 1);
  leader.join();
}

TEST_F(Mixed, PollTakesBothKinds) {
  pollfd entries[] = {
      {server_, POLLIN, 0}, {event_, POLLIN, 0}, {-1, POLLIN, 7}, {MR_FIRST_FD + 5000, POLLIN, 0}};
  EXPECT_EQ(mr_poll(entries, 3, 0), 0);
  EXPECT_EQ(entries[2].revents, 0);
  ring();
  EXPECT_EQ(mr_poll(entries, 3, -1), 1);
  EXPECT_EQ(entries[1].revents, POLLIN);
  EXPECT_EQ(mr_send(client_, "x", 1, 0), 1);
  EXPECT_EQ(mr_poll(entries, 4, -1), 3);
  EXPECT_EQ(entries[0].revents, POLLIN);
  EXPECT_EQ(entries[1].revents, POLLIN);
  EXPECT_EQ(entries[3].revents, POLLNVAL);
}

TEST_F(Mixed, PollSleepsOnBothKinds) {
  for (const bool kernel : {true, false}) {
    std::thread other([this, kernel] {
      let_it_sleep();
      if (kernel) {
        ring();
      } else {
        EXPECT_EQ(mr_send(client_, "x", 1, 0), 1);
      }
    });
    pollfd entries[] = {{server_, POLLIN, 0}, {event_, POLLIN, 0}};
    EXPECT_EQ(mr_poll(entries, 2, 5000), 1);
    EXPECT_EQ(entries[kernel ? 1 : 0].revents, POLLIN);
    other.join();
    std::uint64_t count;
    EXPECT_EQ(read(event_, &count, sizeof count), kernel ? 8 : -1);
  }
}

TEST_F(Mixed, PollOfKernelDescriptorsAlone) {
  pollfd entry{event_, POLLIN, 0};
  EXPECT_EQ(mr_poll(&entry, 1, 10), 0);
  ring();
  EXPECT_EQ(mr_poll(&entry, 1, -1), 1);
  EXPECT_EQ(mr_poll(nullptr, 0, 5), 0);
}

TEST_F(Mixed, APolledSetReportsItsKernelDescriptors) {
  watch(event_, EPOLLIN, 2);
  pollfd entry{epoll_, POLLIN, 0};
  EXPECT_EQ(mr_poll(&entry, 1, 0), 0);
  std::thread ringer([this] {
    let_it_sleep();
    ring();
  });
  EXPECT_EQ(mr_poll(&entry, 1, 5000), 1);
  EXPECT_EQ(entry.revents, POLLIN);
  ringer.join();
}

TEST_F(Mixed, ThreadsOfOneSetShareTheEvents) {
  constexpr int kSockets = 64, kRounds = 20, kSent = kSockets * kRounds;
  std::vector<std::pair<int, int>> pairs;
  for (int i = 0; i < kSockets; ++i) {
    pairs.push_back(datagram_pair());
    watch(pairs.back().second, EPOLLIN | EPOLLET, i + 10);
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  std::atomic<int> events{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      epoll_event event;
      while (events < kSent && std::chrono::steady_clock::now() < end) {
        if (mr_epoll_wait(epoll_, &event, 1, 50) != 1) continue;
        char byte;
        const int fd = pairs[event.data.u64 - 10].second;
        while (mr_recv(fd, &byte, 1, MSG_DONTWAIT) == 1) ++events;
      }
    });
  }
  for (int round = 0; round < kRounds; ++round) {
    for (const auto& pair : pairs) EXPECT_EQ(mr_send(pair.first, "x", 1, 0), 1);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(events, kSent);
}

TEST_F(Mixed, KernelDescriptorInANestedSetWakesTheSleeper) {
  const int inner = mr_epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 7}};
  ASSERT_EQ(mr_epoll_ctl(inner, EPOLL_CTL_ADD, event_, &event), 0);
  watch(inner, EPOLLIN, 3);
  watch(server_, EPOLLIN, 1);
  EXPECT_EQ(wait(4, 0), Ids{});
  std::thread ringer([this] {
    let_it_sleep();
    ring();
  });
  EXPECT_EQ(wait(4, 5000), Ids{3});
  ringer.join();
  EXPECT_EQ(wait(1, 0), Ids{3}) << "level-triggered: as long as the inner set is ready";
  std::uint64_t count;
  ASSERT_EQ(read(event_, &count, sizeof count), 8);
  EXPECT_EQ(wait(4, 0), Ids{});
  mr_close(inner);
}

}  // namespace

}  // namespace millrace::posix::test
