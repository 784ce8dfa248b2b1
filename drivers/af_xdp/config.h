#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/mac_address.h"
#include "base/time.h"

namespace millrace::drivers {

class XdpProgram;

/// Which of several queues of an interface a device is. They are opened in their order, and all name one
/// program, which the first makes.
struct XdpQueue {
  std::uint32_t index = 0, count = 1;
  std::shared_ptr<XdpProgram>* program = nullptr;  ///< used while it is opened; null: it is alone
};

/// What an `xdp:` spec says.
struct AfXdpConfig {
  enum class Mode : std::uint8_t {
    kAuto,     ///< the driver's own hook, or else the kernel's
    kNative,   ///< before the kernel makes an skb
    kGeneric,  ///< on any interface
  };

  std::string interface;
  std::uint32_t queue = 0;  ///< the interface's, of the first device
  XdpQueue place = {};      ///< the device's own is as many further
  Mode mode = Mode::kAuto;
  std::uint32_t slots = 2048;     ///< frames that may wait in either direction; a power of two
  std::uint32_t frames = 8192;    ///< in all: the rings' and those lent to sockets; a power of two
  Duration busy_poll{0};          ///< SO_PREFER_BUSY_POLL for so long at a time; zero: interrupts
  std::optional<MacAddress> mac;  ///< another than the interface's, which is made promiscuous
};

}  // namespace millrace::drivers
