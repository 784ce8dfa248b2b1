#include "doctor/files.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <sstream>

namespace millrace::doctor {

namespace {

constexpr std::string_view kSpace = " \t\n";

std::string trimmed(std::string_view text) {
  const std::size_t from = text.find_first_not_of(kSpace);
  if (from == std::string_view::npos) return {};
  return std::string(text.substr(from, text.find_last_not_of(kSpace) - from + 1));
}

}  // namespace

bool Files::exists(const std::string& path) const {
  std::error_code none;
  return std::filesystem::exists(place(path), none);
}

std::optional<std::string> Files::read(const std::string& path) const {
  std::ifstream file(place(path));
  std::stringstream text;
  if (!file || !(text << file.rdbuf())) return std::nullopt;
  std::string all = text.str();
  all.erase(all.find_last_not_of(kSpace) + 1);
  return all;
}

std::optional<std::uint64_t> Files::read_number(const std::string& path) const {
  const std::optional<std::string> text = read(path);
  std::uint64_t number = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), number).ec != std::errc{})
    return std::nullopt;
  return number;
}

std::optional<std::string> Files::read_field(const std::string& path, std::string_view name) const {
  std::stringstream text(read(path).value_or(""));
  for (std::string line; std::getline(text, line);) {
    if (!line.starts_with(name) || line.size() == name.size()) continue;
    const char next = line[name.size()];
    if (next == ':' || kSpace.find(next) != std::string_view::npos)
      return trimmed(line.substr(name.size() + 1));
  }
  return std::nullopt;
}

std::vector<std::string> Files::list(const std::string& path) const {
  std::error_code error;
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator at(place(path), error), end; !error && at != end;
       at.increment(error))
    names.push_back(at->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string Files::link_name(const std::string& path) const {
  std::error_code error;
  const std::filesystem::path target = std::filesystem::read_symlink(place(path), error);
  return error ? std::string() : target.filename().string();
}

std::string Files::resolve(const std::string& path) const {
  std::error_code error;
  const std::string full = std::filesystem::canonical(place(path), error).string();
  const std::string root = root_.empty() ? std::string() : std::filesystem::canonical(root_, error).string();
  return error || !full.starts_with(root) ? std::string() : full.substr(root.size());
}

}  // namespace millrace::doctor
