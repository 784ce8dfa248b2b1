// millrace run: a program, unmodified, with its sockets on the stack.

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>

#include <CLI/CLI.hpp>

#include "aftermath.h"
#include "child.h"
#include "command.h"
#include "common/capture_setting.h"
#include "common/settings.h"
#include "common/system_error.h"
#include "common/tcp_setting.h"
#include "open_device.h"
#include "posix/settings.h"
#include "posix/shared_state.h"
#include "program.h"

namespace millrace::command {

namespace {

using apps::Setting;
using Shape = Setting::Shape;

/// What the library reads from the environment; given here in any of three ways.
const std::vector<Setting>& run_settings() {
  static const std::vector<Setting> settings{
      {"dev", Shape::kValue, "SPEC", "device of the stack: af_packet:veth1"},
      {"addr", Shape::kValue, "ADDRESS/PREFIX", "its IPv4 address: 198.18.0.2/24; more, after commas"},
      {"gw", Shape::kValue, "ADDRESS", "gateway to everywhere else"},
      {"mtu", Shape::kValue, "BYTES", "largest IP packet, 576 to 65535; default the device's"},
      {"rules", Shape::kList, "RULE",
       "bind|connect|any ADDRESS[/LENGTH][:PORT] stack|kernel: whose sockets these are; the first that fits "
       "decides; may be repeated"},
      {"kernel_loopback", Shape::kSwitch, "",
       "a wildcard listener also listens on the kernel's 127.0.0.1, for clients of this machine"},
      {"busy_poll_us", Shape::kValue, "US", "how long a wait polls before it sleeps; -1: not at all"},
      {"drain_ms", Shape::kValue, "MS", "how long an exit waits for what was sent, default 2000; -1: not"},
      apps::kCaptureSetting,
      apps::kCaptureLimitSetting,
      apps::kCaptureSnaplenSetting,
      {"queues", Shape::kValue, "N", "queues of the device, each with a stack of its own; default 1"},
      {"tx_batch", Shape::kValue, "N",
       "so many sends' frames may leave together; 1: each by itself; default 16, for programs that are soon "
       "back"},
      {"pool_bytes", Shape::kValue, "BYTES", "packet memory"},
      {"max_fds", Shape::kValue, "N", "sockets of the stack, at most"},
      apps::kTcpSetting,
  };
  return settings;
}

struct RunOptions {
  apps::SettingReader reader{run_settings()};
  std::vector<std::string> words;
};

std::string preload_library() {
  if (const char* given = std::getenv("MILLRACE_PRELOAD"); given != nullptr) return given;
  std::error_code none;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", none).parent_path();
  const char* name = "libmillrace-preload.so";
  for (const std::filesystem::path& folder :
       {self / ".." / "preload", std::filesystem::path(MILLRACE_LIBDIR), self / ".." / "lib"}) {
    const std::filesystem::path file = folder / name;
    if (std::filesystem::exists(file, none)) return std::filesystem::canonical(file, none).string();
  }
  throw std::runtime_error(std::string(name) + " is not there: install it, or set MILLRACE_PRELOAD");
}

void set_environment(const apps::SettingReader& reader) {
  // Set when all is read: the reader looks into the environment, too.
  std::map<std::string, std::string> variables;
  reader.read([&variables](std::size_t index, const std::string& value) {
    const Setting& setting = run_settings()[index];
    std::string& variable = variables[apps::SettingReader::variable_of(setting.key)];
    if (setting.shape == Shape::kEntries) {
      apps::add_tcp_setting(variable, value);
    } else {
      variable = value;
    }
  });
  for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
}

void set_preload(const std::string& library) {
  const char* before = std::getenv("LD_PRELOAD");
  const std::string all = before != nullptr && *before != '\0' ? library + ":" + before : library;
  setenv("LD_PRELOAD", all.c_str(), 1);
}

/// Out of the way of the program's own descriptors.
int move_up(int fd) {
  constexpr int kHigh = 900;
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, kHigh);
  return moved >= 0 ? moved : fcntl(fd, F_DUPFD_CLOEXEC, 64);
}

/// The device, opened here with the privileges of now, and what is shared with the program about it. The
/// program has the shared file under an open file description of its own, with a lock on it that is gone when
/// the last process that inherited it is.
class Legacy {
 public:
  explicit Legacy(const posix::Settings& settings) : config_(settings.context) {
    if (settings.device == "none" || !drivers::can_hand_over(settings.device)) return;
    file_ = move_up(posix::make_shared_file());
    if (file_ < 0) apps::throw_errno("cannot make shared memory");
    drivers::DeviceOptions options;
    options.shared_file = file_;
    drivers::OpenQueuesResult opened = drivers::open_queues(settings.device, settings.queues, options);
    if (!opened.ok()) throw std::runtime_error(opened.error);
    queues_ = std::move(opened.queues);
    for (const auto& queue : queues_) {
      for (const int fd : queue->handover()) kept_.push_back(move_up(fd));
    }
    if (kept_.empty()) return;  // a device that cannot be handed over: the program opens its own
    kept_.insert(kept_.begin(), locked_file());
    for (const auto& queue : queues_) queue->own_addresses(config_.interface.addresses);
    state_ = posix::map_shared_state(file_);
    std::string text;
    for (const int fd : kept_) text += (text.empty() ? "" : ",") + std::to_string(fd);
    setenv(posix::Inheritance::kVariable, text.c_str(), 1);
  }
  /// What goes with the program.
  [[nodiscard]] const std::vector<int>& kept() const { return kept_; }
  /// The program was started: from now on only it and its descendants hold the lock.
  void let_go() {
    if (state_ != nullptr) close(kept_.front());
  }
  [[nodiscard]] bool in_use() const {
    struct flock lock = whole_file(F_WRLCK);
    return state_ != nullptr && fcntl(file_, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  }
  [[nodiscard]] pid_t owner() const { return state_ != nullptr ? state_->owner.load() : 0; }
  void settle() {
    if (state_ != nullptr && !queues_.empty()) reset_what_is_left(config_, std::move(queues_), *state_);
  }

 private:
  static struct flock whole_file(short type) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    return lock;
  }
  [[nodiscard]] int locked_file() const {
    const int again = open(("/proc/self/fd/" + std::to_string(file_)).c_str(), O_RDWR | O_CLOEXEC);
    struct flock lock = whole_file(F_RDLCK);
    if (again < 0 || fcntl(again, F_OFD_SETLK, &lock) != 0) apps::throw_errno("cannot lock shared memory");
    const int moved = move_up(again);
    close(again);
    return moved;
  }

  posix::ContextConfig config_;
  int file_ = -1;
  std::vector<std::unique_ptr<NetDevice>> queues_;
  std::vector<int> kept_;
  posix::SharedState* state_ = nullptr;
};

/// Where the capture goes of whatever program of the run has the stack: made with the privileges of now,
/// before a program runs; each appends. -1: nothing is recorded.
int make_capture(const posix::CaptureSettings& settings) {
  if (settings.file.empty()) return -1;
  std::string error;
  const drivers::UniqueFd file =
      drivers::open_capture_file({.file = settings.file, .filter = settings.filter}, error);
  if (!error.empty()) throw std::runtime_error(error);
  const int moved = move_up(file.get());
  posix::bequeath_capture(moved);
  return moved;
}

void await_end(pid_t process) {
  const auto watch = static_cast<int>(syscall(SYS_pidfd_open, process, 0));
  if (watch < 0) return;
  pollfd one{watch, POLLIN, 0};
  while (poll(&one, 1, -1) < 0 && errno == EINTR) {
  }
  close(watch);
}

/// The program is gone, descendants of it are not: one that it left in the background has the stack, or may
/// yet claim it. We go there, too.
void follow(Legacy& legacy) {
  constexpr timespec kLook{0, 100'000'000};
  setsid();
  const int nowhere = open("/dev/null", O_RDWR);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(nowhere, fd);
  while (legacy.owner() == 0 && legacy.in_use()) nanosleep(&kLook, nullptr);
  if (const pid_t owner = legacy.owner(); owner != 0) await_end(owner);
  legacy.settle();
  _exit(0);
}

int run(RunOptions& options) {
  if (options.words.empty())
    throw std::runtime_error(
        "run what? Put the program behind two dashes: millrace run [OPTIONS] -- PROGRAM [ARGUMENTS]");
  const Program program = inspect_program(options.words.front());
  if (!program.problem.empty()) {
    std::fprintf(stderr, "millrace: %s\n", program.problem.c_str());
    return program.status;
  }
  set_environment(options.reader);
  posix::Settings settings;
  if (const std::string wrong = posix::read_settings(nullptr, settings); !wrong.empty())
    throw std::runtime_error(wrong);
  std::vector<int> kept;
  if (const int capture = make_capture(settings.capture); capture >= 0) kept.push_back(capture);
  Legacy legacy(settings);
  kept.insert(kept.end(), legacy.kept().begin(), legacy.kept().end());
  set_preload(preload_library());
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  Child child(program.path, options.words, kept);
  legacy.let_go();
  child.wait();
  const pid_t owner = legacy.owner();
  const bool over = owner != 0 && posix::is_dead(owner);
  if (!over && legacy.in_use()) {
    if (fork() == 0) follow(legacy);
    child.end_likewise();
  }
  legacy.settle();
  child.end_likewise();
}

}  // namespace

void add_run(CLI::App& parent, Action& action) {
  CLI::App& app = add_command(
      parent, "run",
      "Runs a program with its sockets on the stack: millrace run [OPTIONS] -- PROGRAM [ARGUMENTS]");
  const auto options = std::make_shared<RunOptions>();
  options->reader.add_to(app);
  app.footer(
      "Settings come from the command line, else the environment (MILLRACE_DEV=...), else the file given "
      "with\n"
      "--config (dev = \"...\"). The exit status is the program's; signals are passed on to it.");
  app.callback([options, &action] {
    options->words = words_after_dashes();
    action = [options] { return run(*options); };
  });
}

}  // namespace millrace::command
