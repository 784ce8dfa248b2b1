// Threads that are cancelled while they wait: the calls stay cancellation points, and leave nothing locked.
#include <pthread.h>

#include <functional>

#include "stack_fixture.h"

namespace millrace::posix::test {

namespace {

class Cancelled : public StackFixture {
 protected:
  /// Cancels a thread that sleeps in `call`; true when that ended it.
  static bool cancel_in(std::function<void()> call) {
    pthread_t thread;
    const auto run = [](void* argument) -> void* {
      (*static_cast<std::function<void()>*>(argument))();
      return nullptr;
    };
    EXPECT_EQ(pthread_create(&thread, nullptr, run, &call), 0);
    let_it_sleep();
    EXPECT_EQ(pthread_cancel(thread), 0);
    void* result = nullptr;
    pthread_join(thread, &result);
    return result == PTHREAD_CANCELED;
  }
  /// The context still works for this thread.
  static void expect_alive() {
    const auto [client, server] = connection();
    char byte = 0;
    EXPECT_EQ(mr_send(client, "x", 1, 0), 1);
    EXPECT_EQ(mr_recv(server, &byte, 1, 0), 1);
  }
};

TEST_F(Cancelled, InRecv) {
  const auto [client, server] = connection();
  EXPECT_TRUE(cancel_in([fd = server] {
    char byte;
    static_cast<void>(mr_recv(fd, &byte, 1, 0));
  }));
  expect_alive();
  // The socket is as before, too.
  char byte = 0;
  EXPECT_EQ(mr_send(client, "y", 1, 0), 1);
  EXPECT_EQ(mr_recv(server, &byte, 1, 0), 1);
}

TEST_F(Cancelled, InAccept) {
  const int listening = listener();
  EXPECT_TRUE(cancel_in([listening] { static_cast<void>(mr_accept(listening, nullptr, nullptr)); }));
  connect_to(listening);
  EXPECT_GE(mr_accept(listening, nullptr, nullptr), 0);
}

TEST_F(Cancelled, InEpollWaitAndPoll) {
  const auto [client, server] = connection();
  const int epoll = mr_epoll_create1(0);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 1}};
  ASSERT_EQ(mr_epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event), 0);
  EXPECT_TRUE(cancel_in([epoll] {
    epoll_event one;
    static_cast<void>(mr_epoll_wait(epoll, &one, 1, -1));
  }));
  EXPECT_TRUE(cancel_in([fd = server] {
    pollfd one{fd, POLLIN, 0};
    static_cast<void>(mr_poll(&one, 1, -1));
  }));
  EXPECT_EQ(mr_send(client, "x", 1, 0), 1);
  EXPECT_EQ(mr_epoll_wait(epoll, &event, 1, 5000), 1);
  expect_alive();
}

TEST_F(Cancelled, AsAFollower) {
  const auto [client, server] = connection();
  const auto [second_client, second_server] = connection();
  std::thread leader([fd = server] {
    char byte = 0;
    EXPECT_EQ(mr_recv(fd, &byte, 1, 0), 1);
  });
  let_it_sleep();
  EXPECT_TRUE(cancel_in([fd = second_server] {
    char byte;
    static_cast<void>(mr_recv(fd, &byte, 1, 0));
  }));
  EXPECT_EQ(mr_send(client, "x", 1, 0), 1);
  leader.join();
  expect_alive();
}

}  // namespace

}  // namespace millrace::posix::test
