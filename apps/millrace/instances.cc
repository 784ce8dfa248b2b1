#include "instances.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <span>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "posix/run_directory.h"

namespace millrace::command {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(5);       // with an instance that says nothing
constexpr auto kQueuePatience = std::chrono::seconds(2);  // with one that has many callers
constexpr std::size_t kMostInstances = 65536;
constexpr std::size_t kLongestLine = 4096;

/// An instance that is there, but cannot be asked.
class CannotAsk : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

std::string text_of(int error) {
  return std::generic_category().message(error);
}

/// What a program says goes to a terminal.
void make_printable(std::span<char> text) {
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

/// Negative: there is no such instance (any more).
int connect_to(const std::string& path) {
  const auto deadline = Clock::now() + kQueuePatience;
  for (;;) {
    const int fd = posix::connect_control(path);
    if (fd >= 0) return fd;
    if (fd == -ECONNREFUSED) (void)posix::remove_stale(path);
    if (fd == -ECONNREFUSED || fd == -ENOENT) return fd;
    if (fd != -EAGAIN) throw CannotAsk(text_of(-fd));
    if (Clock::now() >= deadline) throw CannotAsk("it is busy with other callers");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

/// False: the program ends just now.
bool send_all(int fd, std::string_view text) {
  // A request fits into any socket buffer.
  if (send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size())) return true;
  if (errno != EPIPE && errno != ECONNRESET) throw CannotAsk(text_of(errno));
  return false;
}

/// Lines of a nonblocking stream.
class LineReader {
 public:
  explicit LineReader(int fd) : fd_(fd) {}

  /// False at the end of the stream. The line is valid until the next call.
  bool next(std::string_view& line) {
    for (;;) {
      const std::size_t end = buffer_.find('\n', position_);
      if (end != std::string::npos) {
        make_printable(std::span(buffer_).subspan(position_, end - position_));
        line = std::string_view(buffer_).substr(position_, end - position_);
        position_ = end + 1;
        return true;
      }
      if (buffer_.size() - position_ > kLongestLine) throw CannotAsk("its answer makes no sense");
      buffer_.erase(0, position_);
      position_ = 0;
      if (!fill()) return false;
    }
  }

 private:
  bool fill() {
    for (;;) {
      std::array<char, 65536> piece;
      const ssize_t got = recv(fd_, piece.data(), piece.size(), 0);
      if (got > 0) buffer_.append(piece.data(), static_cast<std::size_t>(got));
      if (got >= 0) return got > 0;
      if (errno == EINTR) continue;
      if (errno == ECONNRESET) return false;  // it has ended, and what it was asked was not read
      if (errno != EAGAIN) throw CannotAsk(text_of(errno));
      pollfd entry{fd_, POLLIN, 0};
      const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience);
      if (poll(&entry, 1, static_cast<int>(patience.count())) == 0) throw CannotAsk("it does not answer");
    }
  }

  int fd_;
  std::string buffer_;
  std::size_t position_ = 0;
};

/// What the kernel says about who listens, and what the program says about itself, in this order.
Instance identify(int fd, pid_t claimed, const Record& greeting) {
  Instance instance;
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0;
  instance.pid = known ? peer.pid : claimed;
  instance.uid = known ? peer.uid : static_cast<unsigned>(greeting.number("uid"));
  if (known) {
    std::ifstream comm("/proc/" + std::to_string(instance.pid) + "/comm");
    std::getline(comm, instance.name);
    make_printable(instance.name);
  }
  if (instance.name.empty()) instance.name = greeting.text("name");
  return instance;
}

/// False: it has died.
bool ask_one(const posix::ControlFile& file, std::string_view request,
             const std::function<void(const Instance&, std::string_view)>& visit) {
  const Descriptor socket(connect_to(file.path));
  if (socket.get() < 0) return false;
  if (!send_all(socket.get(), request)) return false;
  LineReader lines(socket.get());
  std::string_view line;
  // One that ends just now says nothing.
  if (!lines.next(line)) return false;
  const Record greeting(line);
  if (greeting.kind() == "error") throw CannotAsk(std::string(line));
  if (greeting.kind() != "millrace") throw CannotAsk("its answer makes no sense");
  const Instance instance = identify(socket.get(), file.pid, greeting);
  visit(instance, "");
  while (lines.next(line)) {
    if (line == "end") return true;
    visit(instance, line);
  }
  throw CannotAsk("its answer has no end");
}

}  // namespace

Record::Record(std::string_view line) {
  while (!line.empty()) {
    const std::size_t space = line.find(' ');
    const std::string_view word = line.substr(0, space);
    line = space == std::string_view::npos ? std::string_view{} : line.substr(space + 1);
    if (kind_.empty()) {
      kind_ = word;
    } else if (const std::size_t equals = word.find('='); equals != std::string_view::npos) {
      fields_.emplace_back(word.substr(0, equals), word.substr(equals + 1));
    }
  }
}

std::string_view Record::text(std::string_view key) const {
  const auto found =
      std::find_if(fields_.begin(), fields_.end(), [&](const auto& field) { return field.first == key; });
  return found == fields_.end() ? std::string_view{} : found->second;
}

std::uint64_t Record::number(std::string_view key) const {
  const auto values = numbers(key, 1);
  return values.empty() ? 0 : values.front();
}

std::vector<std::uint64_t> Record::numbers(std::string_view key, std::size_t most) const {
  std::vector<std::uint64_t> values;
  std::string_view rest = text(key);
  while (!rest.empty() && values.size() < most) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc{}) break;
    values.push_back(value);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    if (rest.empty() || rest.front() != ',') break;
    rest.remove_prefix(1);
  }
  return values;
}

Asked ask(std::string_view request, pid_t pid,
          const std::function<void(const Instance&, std::string_view line)>& visit) {
  Asked asked;
  const std::string directory = posix::run_directory();
  std::vector<posix::ControlFile> files;
  if (pid != 0) {
    files.push_back({pid, posix::control_path(directory, pid)});
  } else if (!posix::list_control_files(directory, kMostInstances, files) && errno != ENOENT) {
    throw std::runtime_error(directory + ": " + text_of(errno));
  }
  for (const posix::ControlFile& file : files) {
    try {
      if (ask_one(file, request, visit)) {
        ++asked.instances;
      } else if (pid != 0) {
        asked.problems.push_back("process " + std::to_string(pid) + " does not use Millrace (there is no " +
                                 file.path + ")");
      }
    } catch (const CannotAsk& problem) {
      asked.problems.push_back("process " + std::to_string(file.pid) + " cannot be asked: " + problem.what());
    }
  }
  return asked;
}

int report_problems(const Asked& asked, pid_t pid) {
  for (const std::string& problem : asked.problems) std::fprintf(stderr, "millrace: %s\n", problem.c_str());
  if (asked.instances == 0 && asked.problems.empty() && pid == 0) {
    std::fprintf(stderr, "millrace: no running program uses Millrace (none has a socket in %s)\n",
                 posix::run_directory().c_str());
  }
  return asked.problems.empty() ? 0 : 1;
}

}  // namespace millrace::command
