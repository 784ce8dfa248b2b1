// mr_send_zc and mr_recv_zc, on the internal loopback.

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <numeric>
#include <vector>

#include "stack_fixture.h"

namespace millrace::posix::test {
namespace {

using Bytes = std::vector<unsigned char>;

Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<unsigned char>(i * 31 + i / 251);
  return bytes;
}

/// Counts how often it was called.
struct Done {
  std::atomic<int> times{0};
  static void call(void* self) { ++static_cast<Done*>(self)->times; }
};

class ZeroCopy : public StackFixture {
 protected:
  static ssize_t send_lent(int fd, const Bytes& bytes, Done& done, int flags = 0) {
    const iovec slice = slice_of(bytes);
    return mr_send_zc(fd, &slice, 1, flags, &Done::call, &done);
  }
  static iovec slice_of(const Bytes& bytes) {
    return {const_cast<unsigned char*>(bytes.data()), bytes.size()};
  }
  static Bytes read_all(int fd, std::size_t size) {
    Bytes got(size);
    EXPECT_EQ(mr_recv(fd, got.data(), size, MSG_WAITALL), static_cast<ssize_t>(size));
    return got;
  }
  /// Sends until nothing more is taken, each time where the last one ended; the number of sends.
  static int fill(int fd, const Bytes& bytes, Done& done, std::size_t& sent) {
    for (int sends = 0;; ++sends) {
      const std::size_t at = sent % bytes.size();
      const iovec slice{const_cast<unsigned char*>(bytes.data() + at), bytes.size() - at};
      const ssize_t taken = mr_send_zc(fd, &slice, 1, MSG_DONTWAIT, &Done::call, &done);
      if (taken < 0) {
        EXPECT_EQ(errno, EAGAIN);
        return sends;
      }
      sent += static_cast<std::size_t>(taken);
    }
  }
  /// What a loan holds goes behind `got`; gives it back.
  static ssize_t receive_lent(int fd, Bytes& got, int room, int flags = 0) {
    std::vector<iovec> slices(static_cast<std::size_t>(room));
    int count = room;
    mr_loan* loan = nullptr;
    const ssize_t size = mr_recv_zc(fd, slices.data(), &count, flags, &loan);
    if (size < 0) return size;
    EXPECT_LE(count, room);
    std::size_t sum = 0;
    for (int i = 0; i < count; ++i) {
      const auto* from = static_cast<const unsigned char*>(slices[static_cast<std::size_t>(i)].iov_base);
      got.insert(got.end(), from, from + slices[static_cast<std::size_t>(i)].iov_len);
      sum += slices[static_cast<std::size_t>(i)].iov_len;
    }
    EXPECT_EQ(sum, static_cast<std::size_t>(size));
    EXPECT_EQ(loan == nullptr, size == 0);
    mr_give_back(loan);
    return size;
  }
  /// Until the stack has nothing more to do: what is under way on the loopback arrives in a few turns.
  static void expect_done(const Done& done, int times) {
    for (int i = 0; i < 200 && done.times != times; ++i) {
      pollfd none{-1, 0, 0};
      mr_poll(&none, 1, 10);
    }
    EXPECT_EQ(done.times, times);
  }
};

TEST_F(ZeroCopy, SentBytesAreTheCallersUntilThePeerHasThem) {
  const auto [client, server] = connection();
  const Bytes bytes = pattern(1 << 20);
  Done done;
  std::size_t sent = 0;
  const int sends = fill(client, bytes, done, sent);
  EXPECT_LT(done.times, sends) << "the peer's window is closed";
  const Bytes got = read_all(server, sent);
  for (std::size_t at = 0; at < sent; ++at) ASSERT_EQ(got[at], bytes[at % bytes.size()]) << at;
  expect_done(done, sends);
}

TEST_F(ZeroCopy, SmallSlicesAndLargeOnesStayInTheirOrder) {
  const auto [client, server] = connection();
  const Bytes bytes = pattern(400'000);
  std::vector<iovec> slices;
  std::size_t at = 0;
  for (std::size_t size = 1; at < bytes.size(); size = size * 3 % 70'001) {
    size = std::min(size, bytes.size() - at);
    slices.push_back({const_cast<unsigned char*>(bytes.data() + at), size});
    at += size;
  }
  Bytes got;
  std::thread reader([&, server = server] { got = read_all(server, bytes.size() + 2); });
  Done done;
  EXPECT_EQ(mr_send(client, "<", 1, 0), 1);
  EXPECT_EQ(mr_send_zc(client, slices.data(), static_cast<int>(slices.size()), 0, &Done::call, &done),
            static_cast<ssize_t>(bytes.size()));
  EXPECT_EQ(mr_send(client, ">", 1, 0), 1);
  reader.join();
  EXPECT_EQ(got.front(), '<');
  EXPECT_EQ(got.back(), '>');
  EXPECT_EQ(Bytes(got.begin() + 1, got.end() - 1), bytes);
  expect_done(done, 1);
}

TEST_F(ZeroCopy, WhatIsNotTakenIsNeverDone) {
  const auto [client, server] = connection();
  const Bytes bytes = pattern(1 << 20);
  Done taken;
  std::size_t sent = 0;
  const int sends = fill(client, bytes, taken, sent);
  Done refused;
  EXPECT_EQ(send_lent(client, bytes, refused, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
  mr_close(server);
  mr_close(client);
  mr_finish();
  EXPECT_EQ(refused.times, 0);
  EXPECT_EQ(taken.times, sends);
}

TEST_F(ZeroCopy, AResetEndsIt) {
  const auto [client, server] = connection();
  const Bytes bytes = pattern(1 << 20);
  Done done;
  EXPECT_GT(send_lent(client, bytes, done, MSG_DONTWAIT), 0);
  const linger at_once{1, 0};
  EXPECT_EQ(mr_setsockopt(server, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  mr_close(server);
  expect_done(done, 1);
  Done after;
  EXPECT_EQ(send_lent(client, bytes, after, MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_EQ(send_lent(client, bytes, after, MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(after.times, 0);
}

TEST_F(ZeroCopy, CloseLetsItArrive) {
  const auto [client, server] = connection();
  const Bytes bytes = pattern(50'000);
  Done done;
  EXPECT_EQ(send_lent(client, bytes, done), 50'000);
  mr_close(client);
  EXPECT_EQ(read_all(server, bytes.size()), bytes);
  expect_done(done, 1);
}

TEST_F(ZeroCopy, FinishIsTheLatest) {
  const auto [client, server] = connection();
  const Bytes bytes = pattern(1 << 20);
  Done done;
  std::size_t sent = 0;
  const int sends = fill(client, bytes, done, sent);
  EXPECT_LT(done.times, sends) << "descriptor " << server << " has not read";
  mr_finish();
  EXPECT_EQ(done.times, sends);
}

TEST_F(ZeroCopy, DoneMayCallTheStack) {
  const auto [client, server] = connection();
  const auto [there, here] = datagram_pair();
  struct Sender {
    int fd;
    static void call(void* self) {
      EXPECT_EQ(mr_send(static_cast<Sender*>(self)->fd, "done", 4, MSG_DONTWAIT), 4);
    }
  } sender{there};
  const Bytes bytes = pattern(20'000);
  const iovec slice = slice_of(bytes);
  EXPECT_EQ(mr_send_zc(client, &slice, 1, 0, &Sender::call, &sender), 20'000);
  EXPECT_EQ(read_all(server, bytes.size()), bytes);
  char text[8];
  EXPECT_EQ(mr_recv(here, text, sizeof text, 0), 4);
}

TEST_F(ZeroCopy, LoansAreTheStream) {
  const auto [client, server] = connection();
  const Bytes bytes = pattern(300'000);
  std::thread writer([&, client = client] {
    EXPECT_EQ(mr_send(client, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    mr_close(client);
  });
  Bytes got;
  int room = 0;
  while (receive_lent(server, got, 1 + room % 5) > 0) ++room;
  writer.join();
  EXPECT_EQ(got, bytes);
  EXPECT_EQ(receive_lent(server, got, 4), 0) << "the end again";
}

TEST_F(ZeroCopy, OfALoanTheRestStaysInTheStream) {
  const auto [client, server] = connection();
  const Bytes bytes = pattern(200'000);
  Done done;
  ASSERT_GT(send_lent(client, bytes, done, MSG_DONTWAIT), 0);
  Bytes got;
  ASSERT_GT(receive_lent(server, got, 1), 0);
  const std::size_t lent = got.size();
  EXPECT_LT(lent, 100'000u) << "one piece";
  got.resize(lent + 1000);
  EXPECT_EQ(mr_recv(server, got.data() + lent, 1000, MSG_WAITALL), 1000);
  EXPECT_EQ(got, Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(got.size())));
  mr_finish();  // before `bytes` and `done` go
  EXPECT_EQ(done.times, 1);
}

TEST_F(ZeroCopy, ALoanOutlivesItsSocketAndEndsWithTheStack) {
  const auto [client, server] = connection();
  const Bytes bytes = pattern(3000);
  EXPECT_EQ(mr_send(client, bytes.data(), bytes.size(), 0), 3000);
  iovec slices[8];
  int count = 8;
  mr_loan* loan = nullptr;
  ASSERT_EQ(mr_recv_zc(server, slices, &count, 0, &loan), 3000);
  mr_close(server);
  mr_close(client);
  Bytes got;
  for (int i = 0; i < count; ++i) {
    const auto* from = static_cast<const unsigned char*>(slices[i].iov_base);
    got.insert(got.end(), from, from + slices[i].iov_len);
  }
  EXPECT_EQ(got, bytes);
  mr_finish();
  mr_give_back(loan);
  mr_give_back(nullptr);
}

TEST_F(ZeroCopy, LoansAreBoundedAndReadingGoesOn) {
  mr_finish();
  mr_config config{};
  config.struct_size = sizeof config;
  config.device = "none";
  config.drain_ms = -1;
  config.pool_bytes = 16 << 20;
  ASSERT_EQ(mr_init(&config), 0) << mr_last_error();
  const auto [client, server] = connection();
  const Bytes bytes = pattern(16'000);
  std::vector<mr_loan*> loans;
  ssize_t received = 0;
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(mr_send(client, bytes.data(), bytes.size(), 0), 16'000);
    iovec slices[64];
    int count = 64;
    mr_loan* loan = nullptr;
    received = mr_recv_zc(server, slices, &count, 0, &loan);
    if (received < 0) break;
    loans.push_back(loan);
  }
  EXPECT_EQ(received, -1);
  EXPECT_EQ(errno, ENOBUFS);
  EXPECT_GT(loans.size(), 20u);
  Bytes got(100);
  EXPECT_EQ(mr_recv(server, got.data(), got.size(), 0), 100) << "a copy needs no loan";
  for (mr_loan* loan : loans) mr_give_back(loan);
  EXPECT_GT(receive_lent(server, got, 4), 0);
}

TEST_F(ZeroCopy, AnyThreadGivesBack) {
  const auto [client, server] = connection();
  const Bytes bytes = pattern(4 << 20);
  Done done;
  std::thread writer([&, client = client] {
    for (std::size_t at = 0; at < bytes.size(); at += 1 << 16) {
      const iovec slice{const_cast<unsigned char*>(bytes.data() + at), 1 << 16};
      EXPECT_EQ(mr_send_zc(client, &slice, 1, 0, &Done::call, &done), 1 << 16);
    }
    mr_close(client);
  });
  std::atomic<std::size_t> total{0};
  const auto read = [&, server = server] {
    Bytes got;
    while (receive_lent(server, got, 3) > 0) {
    }
    total += got.size();
  };
  std::thread one(read), other(read);
  writer.join();
  one.join();
  other.join();
  EXPECT_EQ(total, bytes.size());
  expect_done(done, 64);
}

TEST_F(ZeroCopy, Errors) {
  const auto [client, server] = connection();
  const auto [datagrams, peer] = datagram_pair();
  const int set = mr_epoll_create1(0);
  const Bytes bytes = pattern(5000);
  Done done;
  const auto fails = [](ssize_t result, int error) {
    EXPECT_EQ(result, -1);
    EXPECT_EQ(errno, error) << strerror(errno);
  };
  fails(send_lent(-1, bytes, done), EBADF);
  fails(send_lent(set, bytes, done), ENOTSOCK);
  fails(send_lent(datagrams, bytes, done), EOPNOTSUPP);
  fails(send_lent(client, bytes, done, MSG_OOB), EOPNOTSUPP);
  const iovec slice = slice_of(bytes);
  fails(mr_send_zc(client, &slice, -1, 0, &Done::call, &done), EINVAL);
  fails(mr_send_zc(client, &slice, 1, 0, nullptr, nullptr), EFAULT);
  const iovec null{nullptr, 5000};
  fails(mr_send_zc(client, &null, 1, 0, &Done::call, &done), EFAULT);
  EXPECT_EQ(mr_send_zc(client, &slice, 0, 0, &Done::call, &done), 0);
  Bytes got;
  fails(receive_lent(-1, got, 1), EBADF);
  fails(receive_lent(set, got, 1), ENOTSOCK);
  fails(receive_lent(peer, got, 1), EOPNOTSUPP);
  fails(receive_lent(server, got, 1, MSG_PEEK), EOPNOTSUPP);
  fails(receive_lent(server, got, 1, MSG_DONTWAIT), EAGAIN);
  iovec room;
  int count = 0;
  mr_loan* loan = nullptr;
  fails(mr_recv_zc(server, &room, &count, 0, &loan), EINVAL);
  fails(mr_recv_zc(server, nullptr, &count, 0, &loan), EFAULT);
  fails(mr_recv_zc(server, &room, nullptr, 0, &loan), EFAULT);
  fails(mr_recv_zc(server, &room, &count, 0, nullptr), EFAULT);
  const int unconnected = stream();
  fails(receive_lent(unconnected, got, 1), ENOTCONN);
  fails(send_lent(unconnected, bytes, done, MSG_NOSIGNAL), EPIPE);
  EXPECT_EQ(done.times, 0);
}

}  // namespace
}  // namespace millrace::posix::test
