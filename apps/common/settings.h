#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace millrace::apps {

/// A setting that does not fit, and where it was found: one line.
class SettingError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One thing that can be set, under the same name in every source: key in the file, --key, MILLRACE_KEY.
struct Setting {
  enum class Shape : std::uint8_t {
    kValue,
    kSwitch,         ///< "true" when the flag is there
    kOptionalValue,  ///< a flag with or without a value
    kList,           ///< may be given more than once; an array in the file; joined by ';'
    kEntries,        ///< NAME=VALUE, more than once; a table in the file; ';' between them in the environment
  };
  const char* key;
  Shape shape;
  const char* type;
  const char* help;
  const char* implied = "true";  ///< the value of a flag that stands alone
};

/// Settings from the command line, else the environment, else a TOML file given with --config.
class SettingReader {
 public:
  explicit SettingReader(std::vector<Setting> settings);

  /// Adds the flags, and --config.
  void add_to(CLI::App& app);
  /// After the command line was parsed: calls apply(index, value) for what is set, the file first, so that
  /// the last call for a setting counts; for kEntries once for each entry, of which the last of a name
  /// counts. What apply throws as a SettingError gets the source before it.
  using Apply = std::function<void(std::size_t index, const std::string& value)>;
  void read(const Apply& apply) const;

  [[nodiscard]] static std::string variable_of(std::string_view key);

 private:
  struct Given {
    CLI::Option* option = nullptr;
    std::vector<std::string> values;
  };
  void read_file(const Apply& apply) const;
  void read_environment(const Apply& apply, std::size_t index) const;
  void read_command_line(const Apply& apply, std::size_t index) const;
  [[nodiscard]] const char* nearest_key(std::string_view wrong) const;

  std::vector<Setting> settings_;
  std::vector<Given> given_;
  std::string file_;
};

/// For apply functions: "must be ..." otherwise, as a SettingError.
[[nodiscard]] unsigned to_number(const std::string& text, unsigned low, unsigned high);
[[nodiscard]] bool to_switch(const std::string& text);

}  // namespace millrace::apps
