#include "net_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

namespace millrace::test {
namespace {

constexpr std::string_view kPrefix = "millrace-test-";

bool shell(const std::string& command) {
  return std::system(command.c_str()) == 0;
}

bool write_file(const std::string& path, std::string_view text) {
  std::ofstream file(path);
  file << text << std::flush;
  return file.good();
}

std::string handle_of(std::string_view name) {
  return "/run/netns/" + std::string(name);
}

/// /proc/sys/net shows the namespace of the one who looks.
constexpr const char* kCongestionControl = "/proc/sys/net/ipv4/tcp_congestion_control";
constexpr const char* kAllowedCongestionControl = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";

bool set_cubic(std::string_view name) {
  const InNamespace inside(name);
  return inside.ok() && write_file(kCongestionControl, "cubic");
}

/// A namespace may choose among the algorithms that the first namespace allows to everybody: where another
/// one than cubic is the system's default, cubic may be missing there.
void allow_cubic() {
  std::ifstream file(kAllowedCongestionControl);
  std::string allowed;
  std::getline(file, allowed);
  if (allowed.find("cubic") == std::string::npos)
    (void)write_file(kAllowedCongestionControl, allowed + " cubic");
}

bool set_defaults(std::string_view name) {
  if (!set_cubic(name)) {
    allow_cubic();
    if (!set_cubic(name)) return false;
  }
  const InNamespace inside(name);
  return inside.ok() && (write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1") ||
                         !std::filesystem::exists("/proc/sys/net/ipv6"));
}

}  // namespace

InNamespace::InNamespace(std::string_view name) {
  home_ = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  const int there = ::open(handle_of(name).c_str(), O_RDONLY | O_CLOEXEC);
  ok_ = home_ >= 0 && there >= 0 && ::setns(there, CLONE_NEWNET) == 0;
  if (there >= 0) ::close(there);
}

InNamespace::~InNamespace() {
  if (home_ < 0) return;
  // A thread that stayed in a test's namespace would run the rest of the program in the wrong network.
  if (ok_ && ::setns(home_, CLONE_NEWNET) != 0) std::abort();
  ::close(home_);
}

void remove_stale_namespaces() {
  std::error_code error;
  std::vector<std::string> stale;
  for (const auto& entry : std::filesystem::directory_iterator("/run/netns", error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    const int pid = std::atoi(name.c_str() + kPrefix.size());
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) stale.push_back(name);
  }
  for (const std::string& name : stale) (void)shell("ip netns del " + name + " 2>/dev/null");
}

NetNamespacePair::NetNamespacePair(const Options& options) {
  static std::atomic<unsigned> count{0};
  remove_stale_namespaces();
  const std::string stem = std::string(kPrefix) + std::to_string(::getpid()) + "-" + std::to_string(count++);
  left_ = stem + "-left";
  right_ = stem + "-right";
  ok_ = set_up(options);
}

NetNamespacePair::~NetNamespacePair() {
  // The veth first: deleting a namespace alone leaves it to a worker of the kernel, some time later.
  (void)shell("ip -n " + left_ + " link del left0 2>/dev/null; ip netns del " + left_ +
              " 2>/dev/null; ip netns del " + right_ + " 2>/dev/null");
}

bool NetNamespacePair::set_up(const Options& options) const {
  if (!shell("ip netns add " + left_ + " && ip netns add " + right_)) return false;
  if (!set_defaults(left_) || !set_defaults(right_)) return false;
  const std::string mtu = std::to_string(options.mtu);
  const std::string count = std::to_string(options.queues);
  const std::string queues = options.queues != 0 ? " numrxqueues " + count + " numtxqueues " + count : "";
  std::string commands = "ip -n " + left_ + " link add left0 mtu " + mtu + queues +
                         " type veth peer name right0 mtu " + mtu + queues + " netns " + right_;
  const auto add_address = [&commands](const std::string& space, std::string_view device,
                                       const std::string& address) {
    if (!address.empty())
      commands += " && ip -n " + space + " addr add " + address + " dev " + std::string(device);
  };
  add_address(left_, "left0", options.left_address);
  add_address(right_, "right0", options.right_address);
  if (!options.right_offloads) {
    commands +=
        " && ip netns exec " + right_ + " ethtool -K right0 tx off tso off gso off gro off >/dev/null";
  }
  for (const std::string& space : {left_, right_}) commands += " && ip -n " + space + " link set lo up";
  commands += " && ip -n " + left_ + " link set left0 up && ip -n " + right_ + " link set right0 up";
  return shell(commands);
}

bool NetNamespacePair::run(Side side, std::string_view command) const {
  std::string quoted = "'";
  for (const char c : command) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return shell("ip netns exec " + name(side) + " sh -c " + quoted + "'");
}

}  // namespace millrace::test
