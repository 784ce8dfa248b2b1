// The same calls on the kernel's sockets and on the stack's: results, errno and events must be the same.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <millrace/socket.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <thread>

#include "differential_cases.h"

namespace millrace::posix::test {

namespace {

/// A network namespace with nothing but lo in it; -1 when the test may not make one.
int fresh_namespace() {
  int result = -1;
  std::thread([&result] {
    if (unshare(CLONE_NEWNET) != 0) return;
    const int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    request.ifr_name[0] = 'l';
    request.ifr_name[1] = 'o';
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    const bool up = ioctl(probe, SIOCSIFFLAGS, &request) == 0;
    close(probe);
    if (up) result = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  }).join();
  return result;
}

std::vector<std::string> run_on_kernel(const Case& one) {
  const int network = fresh_namespace();
  if (network < 0) ADD_FAILURE() << "cannot make a network namespace: run as root";
  std::vector<std::string> notes;
  std::thread([&] {
    if (setns(network, CLONE_NEWNET) != 0) return;
    Script script(kernel_calls());
    try {
      one.run(script);
    } catch (const std::exception& problem) {
      script.note(std::string("cannot set the scene: ") + problem.what());
    }
    notes = script.notes();
  }).join();
  close(network);
  return notes;
}

std::vector<std::string> run_on_stack(const Case& one) {
  mr_config config{};
  config.struct_size = sizeof config;
  config.device = "none";
  config.drain_ms = -1;
  if (mr_init(&config) != 0) ADD_FAILURE() << mr_last_error();
  std::vector<std::string> notes;
  {
    Script script(stack_calls());
    try {
      one.run(script);
    } catch (const std::exception& problem) {
      script.note(std::string("cannot set the scene: ") + problem.what());
    }
    notes = script.notes();
  }
  mr_finish();
  return notes;
}

/// One note a line: a difference is then shown as such.
std::string as_text(const std::vector<std::string>& notes) {
  std::string text;
  for (const std::string& note : notes) text += note + "\n";
  return text;
}

class AsLinuxDoes : public testing::TestWithParam<Case> {};

TEST_P(AsLinuxDoes, Script) {
  EXPECT_EQ(as_text(run_on_stack(GetParam())), as_text(run_on_kernel(GetParam())));
}

INSTANTIATE_TEST_SUITE_P(Differential, AsLinuxDoes, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& one) { return std::string(one.param.name); });

}  // namespace

}  // namespace millrace::posix::test
