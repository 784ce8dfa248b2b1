#include "output.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>

namespace millrace::kv {
namespace {

/// A socket that takes so much a call.
struct Socket {
  std::string taken;
  std::size_t room = 0, calls = 0;
  bool broken = false;

  ssize_t take(const iovec* slices, std::size_t count) {
    ++calls;
    if (broken) errno = EPIPE;
    if (!broken && room == 0) errno = EAGAIN;
    if (broken || room == 0) return -1;
    std::size_t size = 0;
    for (std::size_t i = 0; i < count && room > 0; ++i) {
      const std::size_t part = std::min(slices[i].iov_len, room);
      taken.append(static_cast<const char*>(slices[i].iov_base), part);
      room -= part;
      size += part;
    }
    return static_cast<ssize_t>(size);
  }
};
Socket* the_socket;

class OutputTest : public testing::Test {
 protected:
  OutputTest() {
    the_socket = &socket_;
    api_.send = [](int, const void* data, std::size_t size, int) {
      const iovec slice{const_cast<void*>(data), size};
      return the_socket->take(&slice, 1);
    };
    api_.sendmsg = [](int, const msghdr* message, int) {
      return the_socket->take(message->msg_iov, message->msg_iovlen);
    };
  }
  ValueRef add_value(char letter, std::size_t size) {
    ValueRef value = Value::copy_of(std::string(size, letter));
    output_.append(value);
    expected_.append(size, letter);
    return value;
  }
  void add(std::string_view bytes) {
    output_.append(bytes);
    expected_ += bytes;
  }

  apps::SocketApi api_{};
  Socket socket_;
  BufferPool pool_;
  Output output_{pool_};
  std::string expected_;
};

TEST_F(OutputTest, ValuesGoBetweenTheBytesInOneCall) {
  add("$2000\r\n");
  add_value('a', 2000);
  add("\r\n$3\r\n");
  add_value('b', 3);
  add("\r\n$3000\r\n");
  add_value('c', 3000);
  socket_.room = 1'000'000;
  EXPECT_EQ(output_.flush(api_, 1), Output::Progress::kDone);
  EXPECT_EQ(socket_.taken, expected_);
  EXPECT_EQ(socket_.calls, 1u);
}

TEST_F(OutputTest, GoesOnWhereverTheSocketStopped) {
  for (int i = 0; i < 200; ++i) {
    add("header");
    add_value(static_cast<char>('a' + i % 26), i % 3 == 0 ? 5 : 1024 + static_cast<std::size_t>(i));
    add("\r\n");
  }
  std::size_t step = 1;
  while (output_.pending() > 0) {
    EXPECT_EQ(output_.pending(), expected_.size() - socket_.taken.size());
    socket_.room = step++ % 777;
    const Output::Progress progress = output_.flush(api_, 1);
    ASSERT_EQ(progress, output_.pending() > 0 ? Output::Progress::kBlocked : Output::Progress::kDone);
  }
  EXPECT_EQ(socket_.taken, expected_);
}

TEST_F(OutputTest, AReferenceLastsUntilTheValueIsSent) {
  ValueRef value = add_value('x', 5000);
  add("\r\n");
  socket_.room = 100;
  EXPECT_EQ(output_.flush(api_, 1), Output::Progress::kBlocked);
  Value::own(value, 5000);
  value->data()[4000] = 'y';
  socket_.room = 1'000'000;
  EXPECT_EQ(output_.flush(api_, 1), Output::Progress::kDone);
  EXPECT_EQ(socket_.taken, expected_);
}

TEST_F(OutputTest, ABrokenSocketIsTold) {
  add("bytes");
  socket_.broken = true;
  EXPECT_EQ(output_.flush(api_, 1), Output::Progress::kBroken);
}

TEST_F(OutputTest, AnIdleOneOwnsNoBuffer) {
  add("bytes");
  socket_.room = 100;
  EXPECT_EQ(output_.flush(api_, 1), Output::Progress::kDone);
  const std::string given_back = pool_.take();
  EXPECT_TRUE(given_back.empty());
  EXPECT_GE(given_back.capacity(), 4096u);
}

}  // namespace
}  // namespace millrace::kv
