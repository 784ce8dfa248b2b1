#pragma once

#include <span>
#include <string>

#include "doctor/examination.h"

namespace millrace::doctor {

/// Collects what there is to know about a target, in the network namespace of the thread. Changes nothing.
[[nodiscard]] Examination gather(const Target& target, std::span<const IpPrefix> addresses);
/// All checks, from the machine to the addresses.
[[nodiscard]] Findings examine(const Examination& examination);

}  // namespace millrace::doctor
