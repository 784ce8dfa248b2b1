#pragma once

#include <cstdint>

namespace millrace::posix {

/// The capabilities that socket options ask for (capabilities(7)).
enum class Privilege : std::uint8_t { kNetAdmin, kNetRaw };

/// Whether the calling thread has it in its effective set now: programs drop theirs.
[[nodiscard]] bool has_privilege(Privilege privilege);

/// SO_PRIORITY: socket(7).
[[nodiscard]] bool may_set_priority(int priority);

}  // namespace millrace::posix
