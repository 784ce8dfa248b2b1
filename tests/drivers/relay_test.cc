#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "net_namespace.h"
#include "unique_fd.h"

namespace millrace::drivers {
namespace {

using test::InNamespace;
using test::NetNamespacePair;
using testing::AnyOf;
using testing::HasSubstr;
using Side = NetNamespacePair::Side;

/// The relay as a child process; its output comes by a pipe.
class Relay {
 public:
  explicit Relay(std::vector<std::string> arguments) {
    const char* path = std::getenv("MILLRACE_RELAY");
    if (path == nullptr) return;
    arguments.insert(arguments.begin(), path);
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) return;
    output_ = UniqueFd{ends[0]};
    const UniqueFd child_end{ends[1]};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ~Relay() {
    if (pid_ > 0) ::kill(pid_, SIGKILL), ::waitpid(pid_, nullptr, 0);
  }

  bool started() const { return pid_ > 0; }
  std::string read_line() {
    std::string line;
    for (char c = 0; ::read(output_.get(), &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }
  std::string rest() {
    std::string text;
    std::array<char, 4096> buffer;
    for (ssize_t n = 0; (n = ::read(output_.get(), buffer.data(), buffer.size())) > 0;) {
      text.append(buffer.data(), static_cast<std::size_t>(n));
    }
    return text;
  }
  void terminate() const { ::kill(pid_, SIGTERM); }
  int wait() {
    int status = -1;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
  UniqueFd output_;
};

/// client0 (198.18.0.9, second pair's right) === left1, left0 (the middle: first pair's left) === right0
/// (198.18.0.1)
class RelayTest : public testing::Test {
 protected:
  RelayTest() : client_(NetNamespacePair::Options{1500, "", "", true}) {}
  void SetUp() override {
    ASSERT_TRUE(middle_.ok() && client_.ok()) << "needs root and iproute2";
    ASSERT_TRUE(middle_.run(Side::kLeft, "ip link add left1 type veth peer name client0 netns " +
                                             client_.name(Side::kRight) + " && ip link set left1 up"));
    ASSERT_TRUE(client_.run(Side::kRight, "ip addr add 198.18.0.9/24 dev client0 && ip link set client0 up"));
  }
  bool ping() const { return client_.run(Side::kRight, "ping -q -c 5 -i 0.02 -W 1 198.18.0.1 >/dev/null"); }

  NetNamespacePair middle_;
  NetNamespacePair client_;
};

TEST_F(RelayTest, ForwardsBothWaysAndPrintsItsCountsWhenItIsStopped) {
  const InNamespace inside(middle_, Side::kLeft);
  Relay relay({"--segment", "--delay", "1", "--duration", "30", "left1", "left0"});
  ASSERT_TRUE(relay.started()) << "MILLRACE_RELAY must name the program";
  ASSERT_EQ(relay.read_line(), "ready");
  EXPECT_TRUE(ping());
  relay.terminate();
  const std::string counts = relay.rest();
  EXPECT_EQ(relay.wait(), 0);
  EXPECT_THAT(counts, HasSubstr("left1 -> left0: frames "));
  EXPECT_THAT(counts, HasSubstr("left0 -> left1: frames "));
  EXPECT_THAT(counts, HasSubstr(" lost 0 "));
}

TEST_F(RelayTest, LosesWhatItShall) {
  const InNamespace inside(middle_, Side::kLeft);
  Relay relay({"--loss", "1", "--duration", "30", "left1", "left0"});
  ASSERT_TRUE(relay.started());
  ASSERT_EQ(relay.read_line(), "ready");
  EXPECT_FALSE(client_.run(Side::kRight, "ping -q -c 2 -i 0.02 -W 0.2 198.18.0.1 >/dev/null"));
  relay.terminate();
  // ARP requests: one, and another where the program did not end within a second.
  EXPECT_THAT(relay.rest(), AnyOf(HasSubstr("left1 -> left0: frames 1 lost 1 "),
                                  HasSubstr("left1 -> left0: frames 2 lost 2 ")));
}

TEST_F(RelayTest, EndsByItselfWhenItsTimeIsOver) {
  const InNamespace inside(middle_, Side::kLeft);
  Relay relay({"--duration", "0.1", "left1", "left0"});
  ASSERT_TRUE(relay.started());
  EXPECT_THAT(relay.rest(), HasSubstr("left0 -> left1: frames"));
  EXPECT_EQ(relay.wait(), 0);
}

TEST_F(RelayTest, SaysWhatIsWrongAndEndsWithAnError) {
  const InNamespace inside(middle_, Side::kLeft);
  const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes{
      {{"left0", "left7"}, "no interface \"left7\""},
      {{"--corrupt", "0.1", "left0", "left1"}, "--corrupt needs --segment"},
      {{"--loss", "2", "left0", "left1"}, "--loss 2"},
      {{"left0"}, "usage"},
  };
  for (const auto& [arguments, message] : mistakes) {
    Relay relay(arguments);
    ASSERT_TRUE(relay.started());
    EXPECT_THAT(relay.rest(), HasSubstr(message));
    EXPECT_EQ(relay.wait(), 2);
  }
}

}  // namespace
}  // namespace millrace::drivers
