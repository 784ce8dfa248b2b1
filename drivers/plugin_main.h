#pragma once

#include "plugin.h"

/// What libmillrace-NAME.so shows to load_plugin(): in exactly one of its sources. A macro, because the names
/// are the C linker's.
#define MILLRACE_PLUGIN(Config, Device)                                                          \
  extern "C" {                                                                                   \
  [[gnu::visibility("default")]] extern const char millrace_plugin_build[];                      \
  const char millrace_plugin_build[] = MILLRACE_VERSION;                                         \
  [[gnu::visibility("default")]] millrace::NetDevice* millrace_plugin_open(const Config& config, \
                                                                           std::string& error);  \
  millrace::NetDevice* millrace_plugin_open(const Config& config, std::string& error) {          \
    return Device::open(config, error).release();                                                \
  }                                                                                              \
  }
