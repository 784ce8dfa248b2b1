#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::command {

/// A running program that uses Millrace.
struct Instance {
  pid_t pid = 0;
  unsigned uid = 0;
  std::string name;
};

/// A line of an answer: its kind, then key=value. Views into the line.
class Record {
 public:
  explicit Record(std::string_view line);

  [[nodiscard]] std::string_view kind() const { return kind_; }
  [[nodiscard]] const std::vector<std::pair<std::string_view, std::string_view>>& fields() const {
    return fields_;
  }
  /// Empty when it is not there.
  [[nodiscard]] std::string_view text(std::string_view key) const;
  /// 0 when it is not there or no number.
  [[nodiscard]] std::uint64_t number(std::string_view key) const;
  /// Of "a,b,c"; as many as there are, at most `most`.
  [[nodiscard]] std::vector<std::uint64_t> numbers(std::string_view key, std::size_t most) const;

 private:
  std::string_view kind_;
  std::vector<std::pair<std::string_view, std::string_view>> fields_;
};

/// How asking went.
struct Asked {
  std::size_t instances = 0;          ///< that answered
  std::vector<std::string> problems;  ///< one line each, about those that could not be asked
};

/// Sends `request` to every instance (`pid` != 0: to that one) and calls visit for each line of each answer,
/// but for the first and the last; the first time with an empty line. Removes what dead instances left
/// behind.
Asked ask(std::string_view request, pid_t pid,
          const std::function<void(const Instance&, std::string_view line)>& visit);

/// Prints the problems, and that nothing runs when that is so. The exit status: 0 unless there was a problem.
int report_problems(const Asked& asked, pid_t pid);

}  // namespace millrace::command
