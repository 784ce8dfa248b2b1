#include "scenarios.h"

#include <netinet/tcp.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string_view>
#include <thread>
#include <vector>

#include "common/stack_api.h"

namespace millrace::interop {

namespace {

constexpr std::uint64_t kUp = 1, kDown = 2;  // the random streams from and to the client

int open_socket(const Stage& stage, int type) {
  const int fd = stage.api.socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (fd < 0) fail_with_errno("socket");
  return fd;
}

int connect_to(const Stage& stage, int fd) {
  return stage.api.connect(fd, reinterpret_cast<const sockaddr*>(&stage.server), sizeof stage.server);
}

/// The client's end of a connection to the server.
class Dialled : public Conversation {
 public:
  explicit Dialled(const Stage& stage) : Conversation(stage.api, open_socket(stage, SOCK_STREAM)) {
    if (connect_to(stage, fd()) != 0) fail_with_errno("connect");
  }
};

/// Sends one stream and checks another at the same time.
void exchange(Conversation& talk, std::uint64_t out, std::uint64_t in, std::uint64_t bytes) {
  std::exception_ptr problem;
  std::thread sender([&] {
    try {
      talk.send_random(out, bytes);
      talk.finish_sending();
    } catch (...) {
      problem = std::current_exception();
      talk.api().shutdown(talk.fd(), SHUT_RDWR);
    }
  });
  std::exception_ptr reading;
  try {
    talk.expect_random(in, bytes);
    talk.expect_end();
  } catch (...) {
    reading = std::current_exception();
    talk.api().shutdown(talk.fd(), SHUT_RDWR);
  }
  sender.join();
  if (reading) std::rethrow_exception(reading);
  if (problem) std::rethrow_exception(problem);
}

// TCP Fast Open: the first connection brings the cookie, the others data in their SYN.
constexpr int kFastOpens = 3;

bool had_syn_data(const Conversation& talk) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (talk.api().getsockopt(talk.fd(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
    fail_with_errno("TCP_INFO");
  return (info.tcpi_options & TCPI_OPT_SYN_DATA) != 0;
}

void expect_syn_data(const Conversation& talk, int round) {
  if (had_syn_data(talk) != (round != 0))
    throw Unexpected("connection " + std::to_string(round) + (round != 0 ? " had no" : " had") +
                     " data in its SYN");
}

void client_fast_opens(const Stage& stage) {
  constexpr std::string_view kAsk = "a question";
  for (int round = 0; round < kFastOpens; ++round) {
    Conversation talk(stage.api, open_socket(stage, SOCK_STREAM));
    const ssize_t sent =
        stage.api.sendto(talk.fd(), kAsk.data(), kAsk.size(), MSG_FASTOPEN | MSG_NOSIGNAL,
                         reinterpret_cast<const sockaddr*>(&stage.server), sizeof stage.server);
    if (sent != static_cast<ssize_t>(kAsk.size())) fail_with_errno("sendto");
    talk.expect_text("an answer");
    expect_syn_data(talk, round);
    talk.finish_sending();
    talk.expect_end();
  }
}

void answer_fast_open(Conversation& talk, int round) {
  talk.expect_text("a question");
  expect_syn_data(talk, round);
  talk.send_text("an answer");
  talk.expect_end();
  talk.close();
}
void server_is_fast_opened(const Stage& stage, Conversation& first) {
  answer_fast_open(first, 0);
  for (int round = 1; round < kFastOpens; ++round) {
    sockaddr_in from{};
    socklen_t length = sizeof from;
    const int fd =
        stage.api.accept4(stage.listener, reinterpret_cast<sockaddr*>(&from), &length, SOCK_CLOEXEC);
    if (fd < 0) fail_with_errno("accept");
    Conversation talk(stage.api, fd);
    answer_fast_open(talk, round);
  }
}

void client_both_ways(const Stage& stage) {
  Dialled talk(stage);
  exchange(talk, kUp, kDown, stage.bytes);
}
void server_both_ways(const Stage& stage, Conversation& talk) {
  exchange(talk, kDown, kUp, stage.bytes);
}

// The one that asks shuts its half, and is answered after that.
void ask_then_listen(Conversation& talk, std::uint64_t bytes, std::uint64_t ask, std::uint64_t answer) {
  talk.send_random(ask, bytes);
  talk.finish_sending();
  talk.expect_random(answer, bytes);
  talk.expect_end();
}
void listen_then_answer(Conversation& talk, std::uint64_t bytes, std::uint64_t ask, std::uint64_t answer) {
  talk.expect_random(ask, bytes);
  talk.expect_end();
  talk.send_random(answer, bytes);
}

void client_half_closes(const Stage& stage) {
  Dialled talk(stage);
  ask_then_listen(talk, stage.bytes, kUp, kDown);
}
void server_is_half_closed(const Stage& stage, Conversation& talk) {
  listen_then_answer(talk, stage.bytes, kUp, kDown);
}

void client_is_half_closed(const Stage& stage) {
  Dialled talk(stage);
  listen_then_answer(talk, stage.bytes, kDown, kUp);
}
void server_half_closes(const Stage& stage, Conversation& talk) {
  ask_then_listen(talk, stage.bytes, kDown, kUp);
}

void send_and_reset(Conversation& talk) {
  talk.send_text("before");
  talk.expect_text("seen");
  talk.reset();
}
void see_reset(Conversation& talk) {
  talk.expect_text("before");
  talk.send_text("seen");
  talk.wait_readable();
  talk.expect_receive_error(ECONNRESET);
  talk.expect_end();
  talk.expect_send_error(EPIPE);
}

void client_resets(const Stage& stage) {
  Dialled talk(stage);
  send_and_reset(talk);
}
void server_is_reset(const Stage& /*stage*/, Conversation& talk) {
  see_reset(talk);
}
void client_is_reset(const Stage& stage) {
  Dialled talk(stage);
  see_reset(talk);
}
void server_resets(const Stage& /*stage*/, Conversation& talk) {
  send_and_reset(talk);
}

// RFC 9293 §3.6.1, as Linux has it: closing with unread data resets.
void close_unread(Conversation& talk) {
  talk.wait_readable();
  talk.close();
}
void see_unread_closed(Conversation& talk) {
  talk.send_text("nobody reads this");
  talk.wait_readable();
  talk.expect_receive_error(ECONNRESET);
}

void client_closes_unread(const Stage& stage) {
  Dialled talk(stage);
  close_unread(talk);
}
void server_sees_unread_closed(const Stage& /*stage*/, Conversation& talk) {
  see_unread_closed(talk);
}
void client_sees_unread_closed(const Stage& stage) {
  Dialled talk(stage);
  see_unread_closed(talk);
}
void server_closes_unread(const Stage& /*stage*/, Conversation& talk) {
  close_unread(talk);
}

/// Until the stack has refused something.
void await_reset_sent() {
  static std::uint64_t sent;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (sent = 0; sent == 0; std::this_thread::sleep_for(std::chrono::milliseconds(10))) {
    if (std::chrono::steady_clock::now() > end) throw Unexpected("nothing was refused");
    apps::visit_stack_counters([](const char* name, std::uint64_t value) {
      if (std::string_view(name) == "tcp.TcpOutRsts") sent = value;
    });
  }
}

// Data that comes for a socket that is closed is answered with RST, and the next send fails.
void close_early(Conversation& talk) {
  talk.expect_text("first");
  talk.close();
  // The stack goes with its process, which a kernel does not: who is gone refuses nothing.
  if (&talk.api() == &apps::stack_sockets()) await_reset_sent();
}
void write_into_closed(Conversation& talk) {
  talk.send_text("first");
  talk.expect_end();
  talk.expect_send_error(EPIPE);
}

void client_closes_early(const Stage& stage) {
  Dialled talk(stage);
  close_early(talk);
}
void server_writes_into_closed(const Stage& /*stage*/, Conversation& talk) {
  write_into_closed(talk);
}
void client_writes_into_closed(const Stage& stage) {
  Dialled talk(stage);
  write_into_closed(talk);
}
void server_closes_early(const Stage& /*stage*/, Conversation& talk) {
  close_early(talk);
}

// RFC 6093: the urgent byte is taken out of the stream.
void send_urgent(Conversation& talk) {
  talk.send_text("abc");
  talk.send_text("!", MSG_OOB);
  talk.send_text("def");
  talk.finish_sending();
  talk.expect_end();
}
void see_urgent(Conversation& talk) {
  talk.wait_readable(POLLPRI);
  talk.expect_text("!", MSG_OOB);
  talk.expect_text("abc");
  talk.expect_text("def");
  talk.expect_end();
}

void client_sends_urgent(const Stage& stage) {
  Dialled talk(stage);
  send_urgent(talk);
}
void server_sees_urgent(const Stage& /*stage*/, Conversation& talk) {
  see_urgent(talk);
}
void client_sees_urgent(const Stage& stage) {
  Dialled talk(stage);
  see_urgent(talk);
}
void server_sends_urgent(const Stage& /*stage*/, Conversation& talk) {
  send_urgent(talk);
}

// Small writes of both sides cross: nothing is lost between Nagle, delayed ACKs and the end.
void client_chats(const Stage& stage) {
  Dialled talk(stage);
  for (int i = 0; i < 200; ++i) {
    talk.send_text("ping ");
    talk.send_text(std::to_string(1000 + i));
    talk.expect_text("pong " + std::to_string(1000 + i));
  }
}
void server_chats(const Stage& stage, Conversation& talk) {
  // Nagle's algorithm against delayed ACKs would cost 40 ms a line.
  if (apps::set_option(stage.api, talk.fd(), IPPROTO_TCP, TCP_NODELAY, 1) != 0)
    fail_with_errno("TCP_NODELAY");
  for (int i = 0; i < 200; ++i) {
    talk.expect_text("ping " + std::to_string(1000 + i));
    talk.send_text("pong ");
    talk.send_text(std::to_string(1000 + i));
  }
  talk.expect_end();
}

// An idle connection to a server that ends: what was sent is answered, then the stream ends without a reset.
void client_sees_end(const Stage& stage) {
  Dialled talk(stage);
  talk.send_text("still there?");
  talk.expect_text("still there?");
  std::puts("waiting");
  std::fflush(stdout);
  talk.expect_end();
}

// ---- Without a server: nobody listens on the port

void client_is_refused(const Stage& stage) {
  const int fd = open_socket(stage, SOCK_STREAM);
  bound_calls(stage.api, fd, 10);
  const int result = connect_to(stage, fd);
  const int error = errno;
  stage.api.close(fd);
  if (result == 0) throw Unexpected("connected to a port where nobody listens");
  if (error != ECONNREFUSED) throw Unexpected(std::string("connect: ") + std::strerror(error));
}

void client_is_refused_later(const Stage& stage) {
  const int fd = open_socket(stage, SOCK_STREAM | SOCK_NONBLOCK);
  Conversation talk(stage.api, fd);
  if (connect_to(stage, fd) == 0 || errno != EINPROGRESS) fail_with_errno("nonblocking connect");
  pollfd wait{.fd = fd, .events = POLLOUT, .revents = 0};
  if (stage.api.poll(&wait, 1, 10000) != 1) throw Unexpected("the refusal did not come");
  constexpr short kExpected = POLLOUT | POLLERR | POLLHUP;
  if (wait.revents != kExpected) throw Unexpected("poll says " + std::to_string(wait.revents));
  int error = 0;
  socklen_t length = sizeof error;
  if (stage.api.getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) fail_with_errno("SO_ERROR");
  if (error != ECONNREFUSED) throw Unexpected(std::string("SO_ERROR: ") + std::strerror(error));
}

// An ICMP port unreachable reaches a connected UDP socket.
void client_datagram_is_refused(const Stage& stage) {
  const int fd = open_socket(stage, SOCK_DGRAM);
  Conversation talk(stage.api, fd);
  if (connect_to(stage, fd) != 0) fail_with_errno("connect");
  talk.send_text("anybody?");
  talk.wait_readable();
  talk.expect_receive_error(ECONNREFUSED);
}

// ---- UDP, with an echo server at the other end

void client_echoes_datagrams(const Stage& stage) {
  const int fd = open_socket(stage, SOCK_DGRAM);
  Conversation talk(stage.api, fd);
  if (connect_to(stage, fd) != 0) fail_with_errno("connect");
  const load::RandomStream source(1, 3);
  for (const std::size_t size :
       {1UL, 2UL, 17UL, 100UL, 548UL, 1472UL, 1473UL, 3000UL, 9000UL, 30000UL, 65507UL}) {
    std::vector<unsigned char> data(size), answer(65536);
    source.fill(0, data);
    if (stage.api.send(fd, data.data(), size, 0) != static_cast<ssize_t>(size)) {
      fail_with_errno("send of " + std::to_string(size));
    }
    const ssize_t got = stage.api.recv(fd, answer.data(), answer.size(), 0);
    if (got < 0) fail_with_errno("recv of " + std::to_string(size));
    answer.resize(static_cast<std::size_t>(got));
    if (answer != data) throw Unexpected("a datagram of " + std::to_string(size) + " came back changed");
  }
  if (stage.api.send(fd, "", 0, 0) != 0) fail_with_errno("send of an empty datagram");
  char byte = 0;
  if (stage.api.recv(fd, &byte, 1, 0) != 0) throw Unexpected("an empty datagram did not come back empty");
  std::vector<unsigned char> too_long(65508);
  if (stage.api.send(fd, too_long.data(), too_long.size(), 0) >= 0 || errno != EMSGSIZE) {
    throw Unexpected("a datagram of 65508 bytes was not refused with EMSGSIZE");
  }
}

constexpr std::array kScenarios{
    Scenario{"both-ways", client_both_ways, server_both_ways},
    Scenario{"client-half-closes", client_half_closes, server_is_half_closed},
    Scenario{"server-half-closes", client_is_half_closed, server_half_closes},
    Scenario{"client-resets", client_resets, server_is_reset},
    Scenario{"server-resets", client_is_reset, server_resets},
    Scenario{"client-closes-unread", client_closes_unread, server_sees_unread_closed},
    Scenario{"server-closes-unread", client_sees_unread_closed, server_closes_unread},
    Scenario{"client-closes-early", client_closes_early, server_writes_into_closed},
    Scenario{"server-closes-early", client_writes_into_closed, server_closes_early},
    Scenario{"client-sends-urgent", client_sends_urgent, server_sees_urgent},
    Scenario{"server-sends-urgent", client_sees_urgent, server_sends_urgent},
    Scenario{"chat", client_chats, server_chats},
    Scenario{"fast-open", client_fast_opens, server_is_fast_opened},
    Scenario{"sees-end", client_sees_end, nullptr},
    Scenario{"refused", client_is_refused, nullptr},
    Scenario{"refused-later", client_is_refused_later, nullptr},
    Scenario{"datagram-refused", client_datagram_is_refused, nullptr},
    Scenario{"datagrams", client_echoes_datagrams, nullptr},
};

}  // namespace

std::span<const Scenario> scenarios() {
  return kScenarios;
}

}  // namespace millrace::interop
