#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace millrace::command {

/// A program started by us, whose signals and exit status are ours.
class Child {
 public:
  /// Forks and execs; `keep`: descriptors that go with it. Throws when that cannot be.
  Child(const std::string& path, const std::vector<std::string>& words, const std::vector<int>& keep);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Passes on signals that others send us, stops and goes on with the program, until it ends.
  void wait();
  /// Ends as the program did: with its exit status, or by the signal that ended it.
  [[noreturn]] void end_likewise() const;

 private:
  void on_signal(int signal, bool from_terminal) const;

  pid_t pid_ = -1;
  int status_ = 0;
};

}  // namespace millrace::command
