#include "common/settings.h"

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include <CLI/CLI.hpp>

#include "base/near_miss.h"

namespace millrace::apps {

namespace {

std::string flag_of(const Setting& setting) {
  std::string flag = std::string("--") + setting.key;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string from_environment(std::string_view key) {
  const char* value = std::getenv(SettingReader::variable_of(key).c_str());
  return value != nullptr ? value : "";
}

std::string join(const std::vector<std::string>& values) {
  std::string all;
  for (const std::string& value : values) all += (all.empty() ? "" : ";") + value;
  return all;
}

/// The value of a node that is a string, a number or a boolean.
std::optional<std::string> scalar_of(const toml::node& node) {
  if (const auto* string = node.as_string()) return string->get();
  if (const auto* integer = node.as_integer()) return std::to_string(integer->get());
  if (const auto* boolean = node.as_boolean()) return boolean->get() ? "true" : "false";
  return std::nullopt;
}

/// ... or, where that is allowed, an array of strings.
std::optional<std::string> text_of(const toml::node& node, bool list) {
  const auto* array = node.as_array();
  if (array == nullptr || !list) return scalar_of(node);
  std::vector<std::string> values;
  for (const auto& element : *array) {
    const auto* string = element.as_string();
    if (string == nullptr) return std::nullopt;
    values.push_back(string->get());
  }
  return join(values);
}

/// Of an entry of a table: a scalar, or an array of them, with spaces between.
std::optional<std::string> entry_of(const toml::node& node) {
  const auto* array = node.as_array();
  if (array == nullptr) return scalar_of(node);
  std::string all;
  for (const auto& element : *array) {
    const std::optional<std::string> one = scalar_of(element);
    if (!one) return std::nullopt;
    all += (all.empty() ? "" : " ") + *one;
  }
  return all;
}

toml::table parse_file(const std::string& path) {
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path)) throw SettingError(path + ": cannot be read");
  std::stringstream content;
  content << file.rdbuf();
  if (file.bad() || content.bad()) throw SettingError(path + ": cannot be read");
  try {
    return toml::parse(content.str(), path);
  } catch (const toml::parse_error& error) {
    throw SettingError(path + ":" + std::to_string(error.source().begin.line) + ": " +
                       std::string(error.description()));
  }
}

void apply_from(const SettingReader::Apply& apply, std::size_t index, const std::string& value,
                const std::string& source) {
  try {
    apply(index, value);
  } catch (const SettingError& problem) {
    throw SettingError(source + ": \"" + value + "\" " + problem.what());
  }
}

}  // namespace

unsigned to_number(const std::string& text, unsigned low, unsigned high) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    throw SettingError("must be a number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

bool to_switch(const std::string& text) {
  if (text == "1" || text == "true" || text == "yes") return true;
  if (text == "0" || text == "false" || text == "no") return false;
  throw SettingError("must be true or false");
}

std::string SettingReader::variable_of(std::string_view key) {
  std::string name = "MILLRACE_" + std::string(key);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return name;
}

SettingReader::SettingReader(std::vector<Setting> settings)
    : settings_(std::move(settings)), given_(settings_.size()), file_(from_environment("config")) {}

void SettingReader::add_to(CLI::App& app) {
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    const Setting& setting = settings_[i];
    if (setting.shape == Setting::Shape::kSwitch) {
      given_[i].option = app.add_flag(flag_of(setting), setting.help);
      continue;
    }
    CLI::Option* option =
        app.add_option(flag_of(setting), given_[i].values, setting.help)->type_name(setting.type);
    option->expected(setting.shape == Setting::Shape::kOptionalValue ? 0 : 1, 1);
    const bool several = setting.shape == Setting::Shape::kList || setting.shape == Setting::Shape::kEntries;
    option->multi_option_policy(several ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast);
    given_[i].option = option;
  }
  app.add_option("--config", file_, "settings from a TOML file")->type_name("FILE");
}

void SettingReader::read(const Apply& apply) const {
  if (!file_.empty()) read_file(apply);
  for (std::size_t i = 0; i < settings_.size(); ++i) read_environment(apply, i);
  for (std::size_t i = 0; i < settings_.size(); ++i) read_command_line(apply, i);
}

void SettingReader::read_environment(const Apply& apply, std::size_t index) const {
  const Setting& setting = settings_[index];
  const std::string value = from_environment(setting.key), source = variable_of(setting.key);
  if (setting.shape != Setting::Shape::kEntries) {
    if (!value.empty()) apply_from(apply, index, value, source);
    return;
  }
  std::stringstream entries(value);
  for (std::string entry; std::getline(entries, entry, ';');) {
    if (!entry.empty()) apply_from(apply, index, entry, source);
  }
}

void SettingReader::read_command_line(const Apply& apply, std::size_t index) const {
  if (given_[index].option->count() == 0) return;
  const Setting& setting = settings_[index];
  const std::vector<std::string>& values = given_[index].values;
  if (setting.shape == Setting::Shape::kEntries) {
    for (const std::string& entry : values) apply_from(apply, index, entry, flag_of(setting));
    return;
  }
  const bool has_value = !values.empty() && !values.back().empty();
  std::string value = has_value ? values.back() : setting.implied;
  if (setting.shape == Setting::Shape::kList) value = join(values);
  apply_from(apply, index, value, flag_of(setting));
}

void SettingReader::read_file(const Apply& apply) const {
  const toml::table table = parse_file(file_);
  const auto place = [this](const toml::key& key) {
    return file_ + ":" + std::to_string(key.source().begin.line);
  };
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string where = place(key);
    const auto setting = std::find_if(settings_.begin(), settings_.end(),
                                      [&](const Setting& known) { return name == known.key; });
    if (setting == settings_.end()) {
      const char* meant = nearest_key(name);
      throw SettingError(where + ": unknown key \"" + name + "\"" +
                         (meant != nullptr ? std::string("; did you mean \"") + meant + "\"?" : ""));
    }
    const auto index = static_cast<std::size_t>(setting - settings_.begin());
    if (setting->shape == Setting::Shape::kEntries) {
      const toml::table* entries = node.as_table();
      if (entries == nullptr) throw SettingError(where + ": " + name + " must be a table");
      for (const auto& [entry, value] : *entries) {
        const std::string text = std::string(entry.str()) + "=";
        const std::optional<std::string> given = entry_of(value);
        if (!given) throw SettingError(place(entry) + ": " + text + " must be a value or an array of them");
        apply_from(apply, index, text + *given, place(entry) + ": " + name);
      }
      continue;
    }
    const bool list = setting->shape == Setting::Shape::kList;
    const std::optional<std::string> text = text_of(node, list);
    if (!text) {
      throw SettingError(where + ": " + name +
                         (list ? " must be a string or an array of strings" : " must be a single value"));
    }
    apply_from(apply, index, *text, where + ": " + name);
  }
}

const char* SettingReader::nearest_key(std::string_view wrong) const {
  const auto best =
      std::min_element(settings_.begin(), settings_.end(), [&](const Setting& a, const Setting& b) {
        return typing_mistakes(wrong, a.key) < typing_mistakes(wrong, b.key);
      });
  return best != settings_.end() && typing_mistakes(wrong, best->key) <= kMostTypingMistakes ? best->key
                                                                                             : nullptr;
}

}  // namespace millrace::apps
