#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "posix/context.h"
#include "socket/socket.h"

namespace millrace::posix {

class SocketFile;

/// What a program wants told with each message it receives.
struct AncillaryOptions {
  enum class Timestamp : std::uint8_t { kNone, kMicroseconds, kNanoseconds };
  Timestamp timestamp = Timestamp::kNone;  ///< SO_TIMESTAMP, SO_TIMESTAMPNS: one switches the other off
  bool packet_info = false;                ///< IP_PKTINFO
  bool original_destination = false;       ///< IP_RECVORIGDSTADDR
  bool tos = false, ttl = false;           ///< IP_RECVTOS, IP_RECVTTL
  bool v6_packet_info = false;             ///< IPV6_RECVPKTINFO
  bool v6_class = false, v6_hops = false;  ///< IPV6_RECVTCLASS, IPV6_RECVHOPLIMIT
  bool bytes_left = false;                 ///< TCP_INQ
};

/// Interfaces have numbers in IP_PKTINFO: 1 is the internal loopback, and those of the stack follow.
inline constexpr int kLoopbackIndex = 1, kFirstInterfaceIndex = 2;

/// Fills a msg_control buffer, cutting what does not fit, as put_cmsg() in Linux does.
class ControlWriter {
 public:
  ControlWriter() = default;
  ControlWriter(void* at, std::size_t room) : at_(static_cast<unsigned char*>(at)), room_(room) {}

  void put(int level, int type, const void* data, std::size_t size);
  template <typename T>
  void put(int level, int type, const T& value) {
    put(level, type, &value, sizeof value);
  }
  [[nodiscard]] std::size_t used() const { return used_; }
  /// MSG_CTRUNC.
  [[nodiscard]] bool cut() const { return cut_; }

 private:
  unsigned char* at_ = nullptr;
  std::size_t room_ = 0, used_ = 0;
  bool cut_ = false;
};

/// What the program asked for, about what was just received.
void write_ancillary(SocketFile& file, const Received& received, ControlWriter& control);

/// Takes over what msg_control says about one message to `destination` (null: a stream). 0 or -errno.
[[nodiscard]] long read_ancillary(SocketFile& file, std::span<const unsigned char> control,
                                  const IpAddress* destination, SendFlags& flags);

}  // namespace millrace::posix
