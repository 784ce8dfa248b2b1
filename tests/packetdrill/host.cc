// Plays a few scripts by itself as packetdrill would, so that the library is loaded and used where there is
// no packetdrill: the interface's layout, packets both ways, virtual time, calls that block. Prints TAP.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "packetdrill/interface.h"
#include "support/frames.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"
#include "wire/tcp_options.h"

namespace {

using namespace millrace;
using packetdrill::Interface;
using Flags = wire::TcpFlags;

constexpr IpAddress kStack = IpAddress::v4(192, 168, 1, 1), kPeer = IpAddress::v4(192, 0, 2, 1);
constexpr std::uint16_t kStackPort = 8080, kPeerPort = 40001;

int failures = 0;

#define CHECK(condition)                                       \
  do {                                                         \
    if (!(condition)) {                                        \
      ++failures;                                              \
      printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition); \
    }                                                          \
  } while (false)

struct Segment {
  wire::TcpHeader header;
  wire::TcpOptions options;
  std::vector<std::uint8_t> option_bytes, payload;
  long long time_us = 0;
};

/// The library, loaded afresh for one script.
class Host {
 public:
  Host(const char* path, const char* flags) {
    handle_ = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) {
      printf("Bail out! %s\n", dlerror());
      exit(1);
    }
    const auto init =
        reinterpret_cast<packetdrill::InterfaceInit>(dlsym(handle_, "packetdrill_interface_init"));
    init(flags, &calls_);
    getsockopt_ = reinterpret_cast<decltype(getsockopt_)>(dlsym(handle_, "getsockopt"));
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  ~Host() {
    calls_.free(calls_.self);
    dlclose(handle_);
  }

  [[nodiscard]] const Interface& calls() const { return calls_; }
  [[nodiscard]] void* self() const { return calls_.self; }
  [[nodiscard]] long long now_us() const {
    timeval time;
    calls_.gettimeofday(calls_.self, &time, nullptr);
    return time.tv_sec * 1000000LL + time.tv_usec;
  }
  /// What a preloaded library answers for libc's own getsockopt.
  [[nodiscard]] std::optional<tcp_info> info(int fd) const {
    tcp_info info{};
    socklen_t length = sizeof info;
    if (getsockopt_(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return std::nullopt;
    return info;
  }

  void send(std::uint8_t flags, std::uint32_t seq, std::size_t payload = 0,
            const wire::TcpOptions& options = {}) {
    wire::TcpHeader header;
    header.source_port = kPeerPort;
    header.destination_port = stack_port_;
    header.seq = SeqNum{seq};
    header.ack = (flags & Flags::kAck) != 0 ? SeqNum{acked_} : SeqNum{};
    header.flags = flags;
    header.window = 65535;
    const std::size_t header_length = wire::TcpHeader::kSize + options.size();
    header.header_length = static_cast<std::uint8_t>(header_length);
    std::vector<std::uint8_t> message(header_length + payload, 'x');
    header.emit(message);
    options.emit(std::span{message}.subspan(wire::TcpHeader::kSize));
    header.checksum = wire::transport_checksum(kPeer, kStack, wire::kProtocolTcp, message);
    header.emit(message);
    const auto packet = test::ipv4(test::ipv4_header(kPeer, kStack, wire::kProtocolTcp), message);
    CHECK(calls_.netdev_send(calls_.self, packet.data(), packet.size()) == 0);
  }

  /// The next segment of the stack, checked as far as any must be right.
  std::optional<Segment> receive() {
    std::vector<std::uint8_t> bytes(4096);
    std::size_t size = bytes.size();
    Segment segment;
    CHECK(calls_.netdev_receive(calls_.self, bytes.data(), &size, &segment.time_us) == 0);
    if (size == 0) return std::nullopt;
    bytes.resize(size);
    const auto packet = wire::Ipv4View::parse(bytes);
    CHECK(packet && packet->checksum_ok());
    if (!packet) return std::nullopt;
    const auto tcp = packet->payload();
    const auto header = wire::TcpHeader::parse(tcp);
    CHECK(header && wire::transport_checksum(kStack, kPeer, wire::kProtocolTcp, tcp) == 0);
    if (!header) return std::nullopt;
    segment.header = *header;
    const auto options = header->options(tcp);
    segment.option_bytes.assign(options.begin(), options.end());
    segment.options = wire::TcpOptions::parse(options);
    segment.payload.assign(tcp.begin() + header->header_length, tcp.end());
    stack_port_ = header->source_port;
    acked_ = (header->seq + static_cast<std::uint32_t>(segment.payload.size()) +
              ((header->flags & (Flags::kSyn | Flags::kFin)) != 0 ? 1u : 0u))
                 .value();
    return segment;
  }
  /// The next segment has these flags.
  std::optional<Segment> expect(std::uint8_t flags, std::size_t payload = 0) {
    std::optional<Segment> segment = receive();
    CHECK(segment && segment->header.flags == flags && segment->payload.size() == payload);
    return segment;
  }

  int listen() {
    const int fd = calls_.socket(self(), AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(kStackPort);
    address.sin_addr.s_addr = htonl(0xc0a80101);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) >= 0);  // a number that is the kernel's, too
    CHECK(calls_.bind(self(), fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHECK(calls_.listen(self(), fd, 1) == 0);
    return fd;
  }
  /// The peer connects. Returns the stack's SYN-ACK.
  std::optional<Segment> handshake() {
    wire::TcpOptions options;
    options.mss = 1000;
    options.sack_permitted = true;
    options.window_scale = 7;
    options.timestamps = wire::TcpOptions::Timestamps{100, 0};
    send(Flags::kSyn, 0, 0, options);
    const auto answer = expect(Flags::kSyn | Flags::kAck);
    wire::TcpOptions stamped;
    stamped.timestamps = wire::TcpOptions::Timestamps{100, answer ? answer->options.timestamps->value : 0};
    send(Flags::kAck, 1, 0, stamped);
    stamps_ = stamped;
    return answer;
  }
  [[nodiscard]] const wire::TcpOptions& stamps() const { return stamps_; }

  /// As packetdrill runs a call that is to block: in a thread of its own, which is asleep before time goes
  /// on.
  template <typename Call>
  std::thread in_a_thread(Call call, long& result, long long& ended_us) {
    std::atomic<pid_t> id{0};
    std::thread thread([this, call, &id, &result, &ended_us] {
      id = gettid();
      result = call();
      ended_us = now_us();
    });
    while (id == 0 || !is_asleep(id)) std::this_thread::yield();
    return thread;
  }

 private:
  static bool is_asleep(pid_t thread) {
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
    std::stringstream text;
    text << file.rdbuf();
    const std::string stat = text.str();
    const std::size_t name_end = stat.rfind(')');
    return name_end == std::string::npos || stat[name_end + 2] == 'S';
  }

  void* handle_;
  Interface calls_{};
  int (*getsockopt_)(int, int, int, void*, socklen_t*) = nullptr;
  std::uint16_t stack_port_ = kStackPort;
  std::uint32_t acked_ = 0;
  wire::TcpOptions stamps_;
};

// --- the scripts

void linux_syn_options(const char* library) {
  Host host(library, "linux");
  host.listen();
  const auto answer = host.handshake();
  CHECK(answer && answer->options.mss == 1460 && answer->options.window_scale == 8);
  CHECK(answer && answer->option_bytes[4] == 4);  // SACK permitted comes second
}

void freebsd_syn_options(const char* library) {
  Host host(library, "freebsd");
  host.listen();
  const auto answer = host.handshake();
  CHECK(answer && answer->options.mss == 1460 && answer->options.window_scale == 6);
  CHECK(answer && answer->option_bytes[4] == 1 && answer->option_bytes[5] == 3);  // NOP, window scale
}

void data_both_ways(const char* library) {
  Host host(library, "linux");
  const Interface& calls = host.calls();
  const int listener = host.listen();
  host.handshake();
  const int fd = calls.accept(host.self(), listener, nullptr, nullptr);
  CHECK(fd >= 0 && fd != listener);
  host.send(Flags::kAck | Flags::kPsh, 1, 500, host.stamps());
  host.expect(Flags::kAck);
  char bytes[4000] = {};
  CHECK(calls.read(host.self(), fd, bytes, sizeof bytes) == 500);
  CHECK(calls.write(host.self(), fd, bytes, 2500) == 2500);
  // What the peer's MSS leaves beside timestamps, a packet each.
  host.expect(Flags::kAck, 988);
  host.expect(Flags::kAck, 988);
  host.expect(Flags::kAck | Flags::kPsh, 524);
  const auto info = host.info(fd);
  CHECK(info && info->tcpi_state == TCP_ESTABLISHED && info->tcpi_unacked == 3);
  host.send(Flags::kAck, 501, 0, host.stamps());
  CHECK(host.info(fd)->tcpi_unacked == 0);
  CHECK(calls.close(host.self(), fd) == 0);
  host.expect(Flags::kFin | Flags::kAck);
  CHECK(calls.read(host.self(), fd, bytes, 1) == -1 && errno == EBADF);
}

void time_is_virtual(const char* library) {
  Host host(library, "linux");
  const Interface& calls = host.calls();
  const int listener = host.listen();
  host.handshake();
  const int fd = calls.accept(host.self(), listener, nullptr, nullptr);
  const long long before = host.now_us();
  CHECK(calls.usleep(host.self(), 50000000) == 0);
  const long long after = host.now_us();
  CHECK(after - before >= 50000000 && after - before < 50000100);
  CHECK(calls.write(host.self(), fd, "hello", 5) == 5);
  const auto first = host.expect(Flags::kAck | Flags::kPsh, 5);
  // Nobody answers: time jumps to the retransmission.
  const auto again = host.expect(Flags::kAck | Flags::kPsh, 5);
  CHECK(first && again && again->time_us - first->time_us >= 200000);
  CHECK(first && again && again->time_us - first->time_us < 2000000);
}

void blocking_accept_and_read(const char* library) {
  Host host(library, "linux");
  const Interface& calls = host.calls();
  const int listener = host.listen();
  long result = -2;
  long long ended = 0;
  std::thread accepting =
      host.in_a_thread([&] { return calls.accept(host.self(), listener, nullptr, nullptr); }, result, ended);
  calls.usleep(host.self(), 100000);
  CHECK(result == -2);
  const long long at = host.now_us();
  host.handshake();
  accepting.join();
  CHECK(result >= 0 && ended >= at && ended - at < 100);

  const int fd = static_cast<int>(result);
  char bytes[100];
  result = -2;
  std::thread reading =
      host.in_a_thread([&] { return calls.read(host.self(), fd, bytes, sizeof bytes); }, result, ended);
  calls.usleep(host.self(), 3000000);
  CHECK(result == -2);
  const long long sent = host.now_us();
  host.send(Flags::kAck | Flags::kPsh, 1, 10, host.stamps());
  // The reader's time is the packet's, however long the script goes on.
  calls.usleep(host.self(), 1000000);
  reading.join();
  CHECK(result == 10 && ended >= sent && ended - sent < 100);
}

void timeouts_end_calls(const char* library) {
  Host host(library, "linux");
  const Interface& calls = host.calls();
  const int listener = host.listen();
  host.handshake();
  const int fd = calls.accept(host.self(), listener, nullptr, nullptr);
  const timeval limit{0, 250000};
  CHECK(calls.setsockopt(host.self(), fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
  char byte;
  // In a thread beside the script's, which moves time on ...
  long result = -2;
  long long ended = 0;
  const long long began = host.now_us();
  std::thread reading =
      host.in_a_thread([&] { return calls.read(host.self(), fd, &byte, 1); }, result, ended);
  calls.usleep(host.self(), 1000000);
  reading.join();
  CHECK(result == -1 && ended - began >= 250000 && ended - began < 251000);
  // ... and in the script's own, which moves it on itself.
  const long long again = host.now_us();
  CHECK(calls.read(host.self(), fd, &byte, 1) == -1 && errno == EAGAIN);
  CHECK(host.now_us() - again >= 250000 && host.now_us() - again < 251000);
  pollfd waiting{fd, POLLIN, 0};
  CHECK(calls.poll(host.self(), &waiting, 1, 30) == 0);
}

void epoll_and_pipes(const char* library) {
  Host host(library, "linux");
  const Interface& calls = host.calls();
  const int listener = host.listen();
  host.handshake();
  const int fd = calls.accept(host.self(), listener, nullptr, nullptr);
  const int set = calls.epoll_create(host.self(), 1);
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  CHECK(calls.epoll_ctl(host.self(), set, EPOLL_CTL_ADD, fd, &event) == 0);
  CHECK(calls.epoll_wait(host.self(), set, &event, 1, 0) == 0);
  host.send(Flags::kAck | Flags::kPsh, 1, 10, host.stamps());
  CHECK(calls.epoll_wait(host.self(), set, &event, 1, -1) == 1 && event.data.fd == fd);
  int ends[2];
  CHECK(calls.pipe(host.self(), ends) == 0);
  CHECK(calls.splice(host.self(), fd, nullptr, ends[1], nullptr, 100, 0) == 10);
  char bytes[100];
  CHECK(calls.read(host.self(), ends[0], bytes, sizeof bytes) == 10);
  CHECK(calls.close(host.self(), ends[0]) == 0 && calls.close(host.self(), ends[1]) == 0);
}

void sysctls_come_from_the_stub(const char* library) {
  char path[] = "/tmp/millrace-sysctls-XXXXXX";
  const int file = mkstemp(path);
  const std::string text = "net.ipv4.tcp_timestamps=1\nnet/ipv4/tcp_timestamps=0\n";
  CHECK(write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  close(file);
  setenv("MILLRACE_PACKETDRILL_SYSCTLS", path, 1);
  {
    Host host(library, "linux");
    host.listen();
    wire::TcpOptions options;
    options.mss = 1000;
    options.timestamps = wire::TcpOptions::Timestamps{100, 0};
    host.send(Flags::kSyn, 0, 0, options);
    const auto answer = host.expect(Flags::kSyn | Flags::kAck);
    CHECK(answer && !answer->options.timestamps);
  }
  unsetenv("MILLRACE_PACKETDRILL_SYSCTLS");
  unlink(path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s LIBRARY\n", argv[0]);
    return 2;
  }
  const struct {
    const char* name;
    void (*run)(const char* library);
  } scripts[] = {
      {"LinuxSynOptions", linux_syn_options},
      {"FreebsdSynOptions", freebsd_syn_options},
      {"DataBothWaysAndClose", data_both_ways},
      {"TimeIsVirtual", time_is_virtual},
      {"BlockingAcceptAndReadAreWoken", blocking_accept_and_read},
      {"TimeoutsEndCalls", timeouts_end_calls},
      {"EpollAndPipes", epoll_and_pipes},
      {"SysctlsComeFromTheStub", sysctls_come_from_the_stub},
  };
  printf("1..%zu\n", std::size(scripts));
  int number = 0, failed = 0;
  for (const auto& script : scripts) {
    failures = 0;
    script.run(argv[1]);
    failed += failures != 0;
    printf("%s %d - %s\n", failures == 0 ? "ok" : "not ok", ++number, script.name);
    fflush(stdout);
  }
  return failed == 0 ? 0 : 1;
}
