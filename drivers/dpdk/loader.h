#pragma once

#include <memory>
#include <string>

#include "dpdk/config.h"

namespace millrace::drivers {

/// Opens a device with libmillrace-dpdk.so, which is loaded only then: a program that uses no such device
/// does not pay for DPDK's libraries, and one can be built and run without them. Null, and `error` says what
/// is wrong and what to do.
[[nodiscard]] std::unique_ptr<NetDevice> open_dpdk(const DpdkConfig& config, std::string& error);

}  // namespace millrace::drivers
