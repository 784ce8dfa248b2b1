#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/ip_address.h"
#include "unique_fd.h"

namespace millrace::drivers {

/// How the kernel's side of a TAP interface is made, where it is made here.
struct TapInterfaceOptions {
  std::uint32_t mtu = 0;                 ///< 0: the kernel's default
  std::optional<IpPrefix> peer_address;  ///< of the kernel, which is then our peer; none: it gets no address
  bool several_queues = false;           ///< this is one of them
};

/// A TAP interface: what the kernel sees as an Ethernet interface, and a queue of frames behind a descriptor.
/// One that is not there is made, set up and brought up, and is gone with the last descriptor of its queues.
/// One that is there is attached to and left as it is.
class TapInterface {
 public:
  /// Opens a queue of the interface `name`. Empty, or one line that says what failed and what to do.
  [[nodiscard]] std::string open(const std::string& name, const TapInterfaceOptions& options);
  /// Takes over a queue that another image of this process has opened.
  [[nodiscard]] std::string adopt(int queue);
  /// Attaches to an interface of the same name after the one before was deleted; with the descriptor that
  /// there is, so that nobody needs to know it anew. False: not now.
  [[nodiscard]] bool attach_again();

  /// The queue, non-blocking; each frame has a VnetHeader in front.
  [[nodiscard]] int queue() const { return queue_.get(); }
  /// A socket in the interface's network namespace.
  [[nodiscard]] int control() const { return control_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  [[nodiscard]] std::string attach(const std::string& name, bool exists);
  [[nodiscard]] bool set_up_queue();
  [[nodiscard]] std::string set_up_interface(const TapInterfaceOptions& options);

  UniqueFd queue_;
  UniqueFd control_;
  bool several_queues_ = false;
  std::string name_;
};

}  // namespace millrace::drivers
