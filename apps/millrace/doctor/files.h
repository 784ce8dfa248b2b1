#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::doctor {

/// /proc, /sys, /dev and /run, below a root: the machine's, or a made-up tree. Paths are absolute
/// ("/proc/cmdline"). What is not there or cannot be read is no error.
class Files {
 public:
  explicit Files(std::string root = "") : root_(std::move(root)) {}

  [[nodiscard]] bool exists(const std::string& path) const;
  /// The file's text without the white space at its end.
  [[nodiscard]] std::optional<std::string> read(const std::string& path) const;
  [[nodiscard]] std::optional<std::uint64_t> read_number(const std::string& path) const;
  /// The value behind "name:" or "name " at the beginning of a line, without the white space around it.
  [[nodiscard]] std::optional<std::string> read_field(const std::string& path, std::string_view name) const;
  /// Names in a folder, in order.
  [[nodiscard]] std::vector<std::string> list(const std::string& path) const;
  /// The last part of where a symbolic link points to; empty: it is none.
  [[nodiscard]] std::string link_name(const std::string& path) const;
  /// The path without symbolic links, again as seen from the root; empty: nothing is there.
  [[nodiscard]] std::string resolve(const std::string& path) const;

 private:
  [[nodiscard]] std::filesystem::path place(const std::string& path) const { return root_ + path; }

  std::string root_;
};

}  // namespace millrace::doctor
