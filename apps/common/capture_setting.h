#pragma once

#include <string>

#include <climits>

#include "common/settings.h"
#include "common/stack_api.h"

namespace millrace::apps {

/// What is recorded, of every program that takes the stack's options.
inline constexpr Setting kCaptureSetting{
    "capture", Setting::Shape::kValue, "FILE[,FILTER]",
    "record what passes through the device, in pcapng; of what a filter of tcpdump's language wants"};
inline constexpr Setting kCaptureLimitSetting{"capture_limit", Setting::Shape::kValue, "BYTES",
                                              "of that file, at most"};
inline constexpr Setting kCaptureSnaplenSetting{"capture_snaplen", Setting::Shape::kValue, "BYTES",
                                                "of a frame that are recorded, at most"};

/// For apply functions. SettingError: out of range.
inline void set_capture_limit(Capture& capture, const std::string& text) {
  capture.limit = to_number(text, 4096, UINT_MAX);
}
inline void set_capture_snaplen(Capture& capture, const std::string& text) {
  capture.snaplen = to_number(text, 64, 262144);
}

}  // namespace millrace::apps
