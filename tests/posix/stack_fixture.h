#pragma once

#include <errno.h>
#include <gtest/gtest.h>
#include <millrace/socket.h>
#include <netinet/in.h>
#include <string.h>

#include <chrono>
#include <cstddef>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "socket_calls.h"

namespace millrace::posix::test {

/// Returns when that thread of this process sleeps (proc(5), "state").
inline void until_asleep(pid_t thread) {
  const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
  for (;;) {
    std::string line;
    std::getline(std::ifstream(path), line);
    const std::size_t state = line.rfind(')') + 2;
    if (state < line.size() && line[state] == 'S') return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// The default context on the internal loopback, for tests with real threads.
class StackFixture : public testing::Test {
 protected:
  void SetUp() override { start(); }
  void TearDown() override { mr_finish(); }

  void start(int busy_poll_us = 0) {
    mr_config config{};
    config.struct_size = sizeof config;
    config.device = "none";
    config.drain_ms = -1;
    config.busy_poll_us = busy_poll_us;
    ASSERT_EQ(mr_init(&config), 0) << mr_last_error();
  }

  static int stream() { return mr_socket(AF_INET, SOCK_STREAM, 0); }
  static sockaddr_in name_of(int fd) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    EXPECT_EQ(mr_getsockname(fd, generic(address), &length), 0);
    return address;
  }
  static sockaddr* generic(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }
  static int listener() {
    const int fd = stream();
    sockaddr_in address = address_of("127.0.0.1", 0);
    EXPECT_EQ(mr_bind(fd, generic(address), sizeof address), 0);
    EXPECT_EQ(mr_listen(fd, 128), 0);
    return fd;
  }
  static int connect_to(int listening) {
    const int fd = stream();
    sockaddr_in address = name_of(listening);
    EXPECT_EQ(mr_connect(fd, generic(address), sizeof address), 0) << strerror(errno);
    return fd;
  }
  static std::pair<int, int> connection() {
    const int listening = listener();
    const int client = connect_to(listening);
    const int server = mr_accept(listening, nullptr, nullptr);
    EXPECT_GE(server, 0);
    mr_close(listening);
    return {client, server};
  }
  static std::pair<int, int> datagram_pair() {
    int fds[2];
    sockaddr_in names[2];
    for (int i = 0; i < 2; ++i) {
      fds[i] = mr_socket(AF_INET, SOCK_DGRAM, 0);
      sockaddr_in address = address_of("127.0.0.1", 0);
      EXPECT_EQ(mr_bind(fds[i], generic(address), sizeof address), 0);
      names[i] = name_of(fds[i]);
    }
    for (int i = 0; i < 2; ++i) EXPECT_EQ(mr_connect(fds[i], generic(names[1 - i]), sizeof names[0]), 0);
    return {fds[0], fds[1]};
  }

  /// Long enough that a thread started before has fallen asleep in its call.
  static void let_it_sleep() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }
  static std::chrono::milliseconds since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
  }
};

}  // namespace millrace::posix::test
