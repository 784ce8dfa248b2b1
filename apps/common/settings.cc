#include "common/settings.h"

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

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

/// The value of a node that is a string, a number, a boolean, or, where that is allowed, an array of strings.
std::optional<std::string> text_of(const toml::node& node, bool list) {
  if (const auto* string = node.as_string()) return string->get();
  if (const auto* integer = node.as_integer()) return std::to_string(integer->get());
  if (const auto* boolean = node.as_boolean()) return boolean->get() ? "true" : "false";
  const auto* array = node.as_array();
  if (array == nullptr || !list) return std::nullopt;
  std::vector<std::string> values;
  for (const auto& element : *array) {
    const auto* string = element.as_string();
    if (string == nullptr) return std::nullopt;
    values.push_back(string->get());
  }
  return join(values);
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

std::size_t typing_mistakes(std::string_view wrong, std::string_view key) {
  std::vector<std::size_t> row(key.size() + 1);
  for (std::size_t i = 0; i <= key.size(); ++i) row[i] = i;
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < key.size(); ++j) {
      const std::size_t change = diagonal + (wrong[i] == key[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({change, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
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
    option->multi_option_policy(setting.shape == Setting::Shape::kList ? CLI::MultiOptionPolicy::TakeAll
                                                                       : CLI::MultiOptionPolicy::TakeLast);
    given_[i].option = option;
  }
  app.add_option("--config", file_, "settings from a TOML file")->type_name("FILE");
}

void SettingReader::read(const Apply& apply) const {
  if (!file_.empty()) read_file(apply);
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    const std::string value = from_environment(settings_[i].key);
    if (!value.empty()) apply_from(apply, i, value, variable_of(settings_[i].key));
  }
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    if (given_[i].option->count() == 0) continue;
    const Setting& setting = settings_[i];
    const std::vector<std::string>& values = given_[i].values;
    const bool has_value = !values.empty() && !values.back().empty();
    std::string value = has_value ? values.back() : setting.implied;
    if (setting.shape == Setting::Shape::kList) value = join(values);
    apply_from(apply, i, value, flag_of(setting));
  }
}

void SettingReader::read_file(const Apply& apply) const {
  const toml::table table = parse_file(file_);
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string where = file_ + ":" + std::to_string(key.source().begin.line);
    const auto setting = std::find_if(settings_.begin(), settings_.end(),
                                      [&](const Setting& known) { return name == known.key; });
    if (setting == settings_.end()) {
      const char* meant = nearest_key(name);
      throw SettingError(where + ": unknown key \"" + name + "\"" +
                         (meant != nullptr ? std::string("; did you mean \"") + meant + "\"?" : ""));
    }
    const bool list = setting->shape == Setting::Shape::kList;
    const std::optional<std::string> text = text_of(node, list);
    if (!text) {
      throw SettingError(where + ": " + name +
                         (list ? " must be a string or an array of strings" : " must be a single value"));
    }
    apply_from(apply, static_cast<std::size_t>(setting - settings_.begin()), *text, where + ": " + name);
  }
}

const char* SettingReader::nearest_key(std::string_view wrong) const {
  const auto best =
      std::min_element(settings_.begin(), settings_.end(), [&](const Setting& a, const Setting& b) {
        return typing_mistakes(wrong, a.key) < typing_mistakes(wrong, b.key);
      });
  return best != settings_.end() && typing_mistakes(wrong, best->key) <= 2 ? best->key : nullptr;
}

}  // namespace millrace::apps
