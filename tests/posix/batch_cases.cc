#include <netinet/in.h>
#include <time.h>

#include <utility>

#include "differential_cases.h"

namespace millrace::posix::test {

namespace {

/// Two messages a call, as sendmmsg and recvmmsg take them.
struct Batch {
  explicit Batch(size_t count, size_t size = 8)
      : data(count, std::string(size, '\0')), slices(count), messages(count) {
    for (size_t i = 0; i < count; ++i) {
      slices[i] = {data[i].data(), size};
      messages[i].msg_hdr.msg_iov = &slices[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_len = 99;
    }
  }
  void fill(std::initializer_list<const char*> texts) {
    size_t i = 0;
    for (const char* text : texts) {
      data[i] = text;
      slices[i] = {data[i].data(), data[i].size()};
      ++i;
    }
  }
  void note_lengths(Script& s) const {
    std::string text = "  lengths";
    for (const mmsghdr& message : messages)
      text += " " + std::to_string(message.msg_len) + "/" + std::to_string(message.msg_hdr.msg_flags);
    s.note(text);
  }
  void send(Script& s, int fd, int flags = 0) {
    s.note_result("sendmmsg",
                  s.calls().sendmmsg(fd, messages.data(), static_cast<unsigned>(messages.size()), flags));
    note_lengths(s);
  }
  void receive(Script& s, int fd, int flags = 0, timespec* timeout = nullptr) {
    s.note_result("recvmmsg", s.calls().recvmmsg(fd, messages.data(), static_cast<unsigned>(messages.size()),
                                                 flags, timeout));
    note_lengths(s);
  }
  std::vector<std::string> data;
  std::vector<iovec> slices;
  std::vector<mmsghdr> messages;
};

}  // namespace

std::vector<Case> batch_cases() {
  return {
      {"BatchOfDatagrams",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         Batch out(3);
         out.fill({"one", "", "three"});
         out.send(s, a);
         Batch in(5);
         in.receive(s, b, MSG_DONTWAIT);
         in.receive(s, b, MSG_DONTWAIT);
         Batch none(0);
         none.send(s, a);
         none.receive(s, b);
         none.receive(s, s.bad_fd());
         out.send(s, s.bad_fd());
       }},
      {"BatchEndsAtAnError",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         Batch out(3);
         out.fill({"one", "two", "three"});
         const sockaddr_in bad = address_of("127.0.0.1", 0);
         out.messages[1].msg_hdr.msg_name = const_cast<sockaddr_in*>(&bad);
         out.messages[1].msg_hdr.msg_namelen = sizeof bad;
         out.send(s, a);
         Batch(3).receive(s, b, MSG_DONTWAIT);
         std::swap(out.messages[0], out.messages[1]);
         out.send(s, a);
       }},
      {"BatchWaitsForOne",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         s.send(a, "x");
         Batch(4).receive(s, b, MSG_WAITFORONE);
       }},
      {"BatchWithATimeout",
       [](Script& s) {
         const auto [a, b] = s.datagram_pair();
         for (int i = 0; i < 4; ++i) s.send(a, "x");
         timespec zero{0, 0}, bad{0, 1000000000}, negative{-1, 0};
         Batch(4).receive(s, b, 0, &zero);
         s.note(std::to_string(zero.tv_sec) + "." + std::to_string(zero.tv_nsec));
         Batch(4).receive(s, b, 0, &bad);
         Batch(4).receive(s, b, 0, &negative);
         timespec enough{5, 0};
         Batch(3).receive(s, b, 0, &enough);
         s.note(enough.tv_sec == 4 ? "some is left" : "wrong");
       }},
      {"BatchKeepsAnErrorForLater",
       [](Script& s) {
         const int victim = s.bound_datagram();
         const sockaddr_in nobody = s.name_of(victim);
         s.drop(victim);
         const int fd = s.datagram();
         s.connect(fd, nobody);
         s.send(fd, "x");
         s.await(fd, POLLIN);
         Batch(2).receive(s, fd, MSG_DONTWAIT);
         Batch(2).receive(s, fd, MSG_DONTWAIT);
       }},
      {"BatchOnAStream",
       [](Script& s) {
         const auto [client, server] = s.connection();
         Batch out(2);
         out.fill({"abc", "def"});
         out.send(s, client);
         s.await(server, POLLIN);
         Batch(3, 2).receive(s, server, 0);
         s.drop(client);
         s.await(server, POLLRDHUP);
         Batch(2).receive(s, server, 0);
       }},
  };
}

}  // namespace millrace::posix::test
