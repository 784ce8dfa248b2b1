#include "inline_words.h"

#include <cctype>
#include <charconv>
#include <cstddef>

namespace millrace::kv {

namespace {

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

char escaped(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'a':
      return '\a';
    default:
      return c;
  }
}

class Splitter {
 public:
  explicit Splitter(std::string_view line) : line_(line) {}

  std::optional<std::vector<std::string>> run() {
    std::vector<std::string> words;
    for (;;) {
      while (!at_end() && is_space(line_[at_])) ++at_;
      if (at_end()) return words;
      std::string word;
      if (!read_word(word)) return std::nullopt;
      words.push_back(std::move(word));
    }
  }

 private:
  [[nodiscard]] bool at_end() const { return at_ >= line_.size() || line_[at_] == '\0'; }

  bool read_word(std::string& word) {
    while (!at_end() && !is_space(line_[at_])) {
      const char c = line_[at_++];
      if (c != '"' && c != '\'') {
        word += c;
        continue;
      }
      if (!(c == '"' ? read_double_quoted(word) : read_single_quoted(word))) return false;
      return at_end() || is_space(line_[at_]);
    }
    return true;
  }

  bool read_double_quoted(std::string& word) {
    for (; !at_end(); ++at_) {
      const char c = line_[at_];
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c != '\\' || at_ + 1 >= line_.size()) {
        word += c;
      } else if (!read_hexadecimal(word)) {
        word += escaped(line_[++at_]);
      }
    }
    return false;
  }

  /// \xHH at the present place; then stays on its last character.
  bool read_hexadecimal(std::string& word) {
    if (at_ + 3 >= line_.size() || line_[at_ + 1] != 'x') return false;
    unsigned byte = 0;
    const char* digits = line_.data() + at_ + 2;
    const auto [stop, error] = std::from_chars(digits, digits + 2, byte, 16);
    if (error != std::errc() || stop != digits + 2) return false;
    word += static_cast<char>(byte);
    at_ += 3;
    return true;
  }

  bool read_single_quoted(std::string& word) {
    for (; !at_end(); ++at_) {
      if (line_[at_] == '\'') {
        ++at_;
        return true;
      }
      if (line_[at_] == '\\' && at_ + 1 < line_.size() && line_[at_ + 1] == '\'') ++at_;
      word += line_[at_];
    }
    return false;
  }

  std::string_view line_;
  std::size_t at_ = 0;
};

}  // namespace

std::optional<std::vector<std::string>> split_words(std::string_view line) {
  return Splitter(line).run();
}

}  // namespace millrace::kv
