#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "doctor/finding.h"

namespace millrace::doctor {

/// A line each: "bad   eth1: link   is down -> ip link set dev eth1 up".
[[nodiscard]] std::string as_text(const Findings& findings);
/// {"device":"af_packet:eth1","bad":1,"warn":0,"findings":[{"severity":"bad","subject":...}]}
[[nodiscard]] std::string as_json(std::string_view device, const Findings& findings);
[[nodiscard]] std::size_t count(const Findings& findings, Severity severity);

}  // namespace millrace::doctor
