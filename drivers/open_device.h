#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "link/net_device.h"

namespace millrace::drivers {

/// What opening a device may need besides its spec.
struct DeviceOptions {};

/// An open device, or one line that says what is wrong and what to do about it.
struct OpenResult {
  std::unique_ptr<NetDevice> device;
  std::string error;

  [[nodiscard]] bool ok() const { return device != nullptr; }
};

/// Opens a device by its spec:
///
///     af_packet:veth1                              an interface of the kernel
///     af_packet(mac=02:00:00:00:00:07):eth0        with options
[[nodiscard]] OpenResult open_device(std::string_view spec, const DeviceOptions& options = {});

}  // namespace millrace::drivers
