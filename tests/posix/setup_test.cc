// Setting up, and what goes wrong there; counters.
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <map>

#include "posix/library.h"
#include "posix/settings.h"
#include "stack_fixture.h"

namespace millrace::posix::test {

namespace {

class Setup : public testing::Test {
 protected:
  void TearDown() override {
    mr_finish();
    for (const char* name :
         {"MILLRACE_DEV", "MILLRACE_ADDR", "MILLRACE_GW", "MILLRACE_MTU", "MILLRACE_BUSY_POLL_US",
          "MILLRACE_DRAIN_MS", "MILLRACE_MAX_FDS", "MILLRACE_POOL_BYTES", "MILLRACE_TCP"})
      unsetenv(name);
  }
  static mr_config empty() {
    mr_config config{};
    config.struct_size = sizeof config;
    return config;
  }
  static void refused(const mr_config& config, int error, const std::string& part) {
    EXPECT_EQ(mr_init(&config), -1);
    EXPECT_EQ(errno, error);
    const std::string line = mr_last_error();
    EXPECT_NE(line.find(part), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
};

TEST_F(Setup, WithoutADeviceSaysWhatToSet) {
  refused(empty(), EINVAL, "MILLRACE_DEV");
}

TEST_F(Setup, WithoutAnAddressSaysWhatToSet) {
  mr_config config = empty();
  config.device = "af_packet:veth1";
  refused(config, EINVAL, "MILLRACE_ADDR");
}

TEST_F(Setup, RefusesMalformedValues) {
  mr_config config = empty();
  config.device = "none";
  for (const char* address : {"198.18.0.300/24", "198.18.0.1", "198.18.0.1/33", "x", "224.0.0.1/24",
                              "127.0.0.1/8", "198.18.0.1/24,,", "0.0.0.0/0", "198.18.0.1/24 "}) {
    config.address = address;
    refused(config, EINVAL, "address");
  }
  config.address = "198.18.0.1/24";
  for (const char* gateway : {"198.18.1.1", "198.18.0.1", "nonsense", "255.255.255.255"}) {
    config.gateway = gateway;
    refused(config, EINVAL, "gateway");
  }
  config.gateway = nullptr;
  config.mtu = 100;
  refused(config, EINVAL, "mtu");
  config.mtu = 0;
  for (const char* text : {"abc", "12x", "-5", "99999999999999999999", " 5"}) {
    setenv("MILLRACE_MTU", text, 1);
    refused(config, EINVAL, "MILLRACE_MTU");
  }
  unsetenv("MILLRACE_MTU");
  config.struct_size = 0;
  refused(config, EINVAL, "struct_size");
}

TEST_F(Setup, RefusesWhatTcpCannotBeSetTo) {
  mr_config config = empty();
  config.device = "none";
  config.tcp = "ecn=1;sack=2";
  refused(config, EINVAL, "tcp: \"sack=2\" must be a number from 0 to 1");
  config.tcp = "congestion=reno";
  refused(config, EINVAL, "did you mean \"congestion_control\"?");
  config.tcp = nullptr;
  setenv("MILLRACE_TCP", "rmem=1", 1);
  refused(config, EINVAL, "MILLRACE_TCP: \"rmem=1\" must be 3 numbers");
}

TEST_F(Setup, TcpIsSetByTheProgramAndWhatItDoesNotNameByTheEnvironment) {
  setenv("MILLRACE_TCP", "congestion_control=bbr;keepalive_time=42", 1);
  mr_config config = empty();
  config.device = "none";
  config.tcp = "congestion_control=reno;rmem=4096 32768 65536";
  ASSERT_EQ(mr_init(&config), 0) << mr_last_error();
  const int fd = mr_socket(AF_INET, SOCK_STREAM, 0);
  char name[16] = {};
  socklen_t length = sizeof name;
  EXPECT_EQ(mr_getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
  EXPECT_STREQ(name, "reno");
  const auto number = [fd](int level, int option) {
    int value = 0;
    socklen_t size = sizeof value;
    EXPECT_EQ(mr_getsockopt(fd, level, option, &value, &size), 0);
    return value;
  };
  EXPECT_EQ(number(IPPROTO_TCP, TCP_KEEPIDLE), 42);
  EXPECT_EQ(number(SOL_SOCKET, SO_RCVBUF), 32768);
}

TEST_F(Setup, AsksTheOpenerForTheDevice) {
  Library::instance().set_device_opener([](const Settings& settings) {
    return OpenedDevice{{},
                        "device " + settings.device + " is broken, " + settings.capture.file + " | " +
                            settings.capture.filter};
  });
  mr_config config = empty();
  config.device = "af_packet:veth1";
  config.address = "198.18.0.1/24";
  config.capture = "out.pcapng,tcp port 80, or not";
  refused(config, ENODEV, "device af_packet:veth1 is broken, out.pcapng | tcp port 80, or not");
  config.capture = ",tcp";
  refused(config, EINVAL, "names no file");
  config.capture = nullptr;
  config.capture_snaplen = 10;
  refused(config, EINVAL, "capture_snaplen");
  config.capture_snaplen = 0;
  config.capture_limit = 10;
  refused(config, EINVAL, "capture_limit");
  Library::instance().set_device_opener(nullptr);
}

TEST_F(Setup, TheProgramComesBeforeTheEnvironment) {
  setenv("MILLRACE_DEV", "nonsense", 1);
  mr_config config = empty();
  config.device = "none";
  EXPECT_EQ(mr_init(&config), 0) << mr_last_error();
}

TEST_F(Setup, HappensByItselfFromTheEnvironment) {
  EXPECT_EQ(mr_socket(AF_INET, SOCK_STREAM, 0), -1);
  EXPECT_EQ(errno, ENETDOWN);
  EXPECT_NE(std::string(mr_last_error()), "");
  setenv("MILLRACE_DEV", "none", 1);
  EXPECT_GE(mr_socket(AF_INET, SOCK_STREAM, 0), MR_FIRST_FD);
}

TEST_F(Setup, TwiceIsRefused) {
  mr_config config = empty();
  config.device = "none";
  EXPECT_EQ(mr_init(&config), 0);
  refused(config, EALREADY, "already");
  mr_finish();
  EXPECT_EQ(mr_init(&config), 0) << "after mr_finish it may be set up again";
}

TEST_F(Setup, AnOlderProgramsConfigurationIsUnderstood) {
  mr_config config = empty();
  config.device = "none";
  config.max_descriptors = 1;
  config.struct_size = offsetof(mr_config, max_descriptors);
  ASSERT_EQ(mr_init(&config), 0);
  EXPECT_GE(mr_socket(AF_INET, SOCK_DGRAM, 0), 0);
  EXPECT_GE(mr_socket(AF_INET, SOCK_DGRAM, 0), 0) << "the field behind its end does not count";
}

TEST_F(Setup, DescriptorsEndAtTheLimit) {
  mr_config config = empty();
  config.device = "none";
  config.max_descriptors = 3;
  ASSERT_EQ(mr_init(&config), 0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(mr_socket(AF_INET, SOCK_DGRAM, 0), MR_FIRST_FD + i);
  EXPECT_EQ(mr_socket(AF_INET, SOCK_DGRAM, 0), -1);
  EXPECT_EQ(errno, EMFILE);
  EXPECT_EQ(mr_close(MR_FIRST_FD + 1), 0);
  EXPECT_EQ(mr_socket(AF_INET, SOCK_DGRAM, 0), MR_FIRST_FD + 1);
}

TEST_F(Setup, CountersHaveNamesAndCount) {
  EXPECT_EQ(mr_stats([](void*, const char*, std::uint64_t) {}, nullptr), -1);
  EXPECT_EQ(errno, ENETDOWN);
  mr_config config = empty();
  config.device = "none";
  ASSERT_EQ(mr_init(&config), 0);
  const auto read = [] {
    std::map<std::string, std::uint64_t> counters;
    const int count = mr_stats(
        [](void* arg, const char* name, std::uint64_t value) {
          (*static_cast<std::map<std::string, std::uint64_t>*>(arg))[name] = value;
        },
        &counters);
    EXPECT_EQ(static_cast<std::size_t>(count), counters.size()) << "a name twice";
    return counters;
  };
  const auto before = read();
  const int fd = mr_socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in to = address_of("127.0.0.1", 9);
  EXPECT_EQ(mr_sendto(fd, "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 1);
  auto now = read();
  EXPECT_EQ(now.at("udp.UdpOutDatagrams"), before.at("udp.UdpOutDatagrams") + 1);
  EXPECT_EQ(now.at("udp.UdpNoPorts"), before.at("udp.UdpNoPorts") + 1);
  mr_close(fd);
  now = read();
  EXPECT_EQ(now.at("pool.BytesInUse"), 0u);
}

TEST_F(Setup, FinishClosesEverythingAndDeliversIt) {
  mr_config config = empty();
  config.device = "none";
  ASSERT_EQ(mr_init(&config), 0);
  const int fd = mr_socket(AF_INET, SOCK_STREAM, 0);
  mr_finish();
  EXPECT_EQ(mr_close(fd), -1);
  EXPECT_EQ(errno, EBADF);
}

using AtExitDeathTest = Setup;

/// exit() while two threads sleep in calls.
void leave_threads_inside(mr_config config) {
  config.device = "none";
  if (mr_init(&config) != 0) _exit(1);
  const int fd = mr_socket(AF_INET, SOCK_DGRAM, 0);
  const int epoll = mr_epoll_create1(0);
  static std::atomic<pid_t> receiver, waiter;
  std::thread([fd] {
    receiver = gettid();
    char byte;
    mr_recv(fd, &byte, 1, 0);
    _exit(2);  // exit() must not look like EBADF to a thread that was minding its business
  }).detach();
  std::thread([epoll] {
    waiter = gettid();
    epoll_event event;
    mr_epoll_wait(epoll, &event, 1, -1);
    _exit(3);
  }).detach();
  for (const auto* const thread : {&receiver, &waiter}) {
    while (*thread == 0) std::this_thread::yield();
    until_asleep(*thread);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  exit(0);
}

TEST_F(AtExitDeathTest, ThreadsInsideStayThereAndNothingCrashes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(leave_threads_inside(empty()), testing::ExitedWithCode(0), "");
}

/// What the threads of this process did.
struct Activity {
  Instant at;
  double seconds;  // on a processor
  long sleeps;
};

Activity activity() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {.at = clock_now(),
          .seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
          .sleeps = usage.ru_nvcsw};
}

/// Whether something polled between the two: with shorter pauses than that, or without.
void expect_asleep(const Activity& before, const Activity& after, Duration pause) {
  EXPECT_LE(after.sleeps - before.sleeps, (after.at - before.at) / pause + 20);
  EXPECT_LT(after.seconds - before.seconds, 0.1);
}

TEST_F(Setup, AnIdleProgramSleeps) {
  mr_config config = empty();
  config.device = "none";
  ASSERT_EQ(mr_init(&config), 0);
  const int fd = mr_socket(AF_INET, SOCK_DGRAM, 0);
  pollfd entry{fd, POLLIN, 0};
  EXPECT_EQ(mr_poll(&entry, 1, 300), 0);  // past the backup poller's first ticks
  const Activity before = activity();
  EXPECT_EQ(mr_poll(&entry, 1, 2000), 0);
  expect_asleep(before, activity(), 10ms);  // the backup poller's quiet tick
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const Activity asleep = activity();
  std::this_thread::sleep_for(std::chrono::seconds(1));  // nobody waits: the backup poller leads
  expect_asleep(asleep, activity(), 1s);
}

}  // namespace

}  // namespace millrace::posix::test
