#pragma once

#include <string>

#include "common/settings.h"
#include "tcp/settings.h"

namespace millrace::apps {

/// What TCP is set to, of every program that takes the stack's options.
inline constexpr Setting kTcpSetting{
    "tcp", Setting::Shape::kEntries, "NAME=VALUE",
    "a value of TCP, such as congestion_control=bbr (`millrace settings` lists them); may be repeated"};

/// For apply functions: adds an entry to those that the library gets. SettingError: it is none.
inline void add_tcp_setting(std::string& entries, const std::string& entry) {
  tcp::Config tried;
  if (const std::string wrong = tcp::apply_setting(entry, tried); !wrong.empty()) throw SettingError(wrong);
  entries += (entries.empty() ? "" : ";") + entry;
}

}  // namespace millrace::apps
