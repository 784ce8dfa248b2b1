#pragma once

#include <cstddef>

namespace millrace {

/// What belongs to one context, and is written all the time, is aligned to so many bytes: else the end of one
/// context's object and the start of another's may share a cache line, over which their threads then fight
/// although they share nothing. Two lines, as some processors fetch them in pairs.
inline constexpr std::size_t kApart = 128;

}  // namespace millrace
