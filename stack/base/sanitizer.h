#pragma once

extern "C" {
// NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): address sanitizer's own
[[gnu::weak]] void __asan_init();
}

namespace millrace {

/// The program runs under address sanitizer, which can watch memory only as it was allocated: what is handed
/// out by parts is nothing to it.
[[nodiscard]] inline bool address_sanitizer() {
  return __asan_init != nullptr;
}

}  // namespace millrace
