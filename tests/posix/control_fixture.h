// The control socket, and a client of it.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <vector>

#include "posix/library.h"
#include "stack_fixture.h"

namespace millrace::posix::test {

using Lines = std::vector<std::string>;

/// A client that waits: the server's patience is what is tested.
class Client {
 public:
  explicit Client(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(fd_); }

  Client& say(const std::string& text) {
    EXPECT_EQ(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    return *this;
  }
  /// All that the server says until it hangs up.
  Lines hear() {
    std::string text;
    std::vector<char> piece(1 << 16);
    ssize_t got;
    while ((got = recv(fd_, piece.data(), piece.size(), 0)) > 0)
      text.append(piece.data(), static_cast<std::size_t>(got));
    Lines lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }

 private:
  int fd_;
};

/// The value of key=value in a line.
inline std::string value(const std::string& line, const std::string& key) {
  const std::size_t at = line.find(" " + key + "=");
  if (at == std::string::npos) return "";
  const std::size_t begin = at + key.size() + 2;
  return line.substr(begin, line.find(' ', begin) - begin);
}

class ControlSocket : public StackFixture {
 protected:
  void SetUp() override {
    char name[] = "/tmp/millrace-control-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    if (const char* before = getenv("MILLRACE_RUN_DIR")) before_ = before;
    setenv("MILLRACE_RUN_DIR", name, 1);
    start();
  }
  void TearDown() override {
    mr_finish();
    setenv("MILLRACE_RUN_DIR", before_.c_str(), 1);
    std::filesystem::remove_all(directory_);
  }

  static std::string path() { return Library::instance().control().path(); }
  static Lines ask(const std::string& request) { return Client(path()).say(request).hear(); }
  /// The `socket` lines of a whole answer.
  static Lines sockets(const std::string& words = "") {
    Lines lines = ask("sockets 1" + words + "\n");
    EXPECT_FALSE(lines.empty());
    if (lines.empty()) return {};
    EXPECT_EQ(lines.front().substr(0, 11), "millrace 1 ");
    EXPECT_EQ(lines.back(), "end");
    std::erase_if(lines, [](const std::string& line) { return line.substr(0, 7) != "socket "; });
    return lines;
  }
  static Lines with(const Lines& lines, const std::string& key, const std::string& wanted) {
    Lines found;
    std::copy_if(lines.begin(), lines.end(), std::back_inserter(found),
                 [&](const std::string& line) { return value(line, key) == wanted; });
    return found;
  }

  std::string directory_, before_;
};

}  // namespace millrace::posix::test
