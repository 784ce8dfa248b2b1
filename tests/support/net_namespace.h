#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::test {

/// Two network namespaces joined by a veth, for tests with the kernel's own stack: nothing leaves them.
///
///     left  [ left0 ]======[ right0 ]  right
///     our side: no address,            the kernel's side: 198.18.0.1/24
///     kernel silent on it
///
/// Both have cubic, no IPv6, and names with our pid in them; the destructor removes them, and the constructor
/// also those of processes that died before they could. Needs root and ip(8).
class NetNamespacePair {
 public:
  enum class Side : std::uint8_t { kLeft, kRight };
  struct Options {
    std::uint32_t mtu = 1500;
    std::string right_address = "198.18.0.1/24";  ///< empty: none
    std::string left_address;                     ///< empty: the kernel stays silent there
    std::uint32_t queues = 0;    ///< of both ends, each way; 0: one, as the kernel makes them
    bool right_offloads = true;  ///< off: no TSO, GSO, checksum offload at right0
  };

  explicit NetNamespacePair(const Options& options);
  NetNamespacePair() : NetNamespacePair(Options{}) {}
  NetNamespacePair(const NetNamespacePair&) = delete;
  NetNamespacePair& operator=(const NetNamespacePair&) = delete;
  ~NetNamespacePair();

  /// False: setting up failed (no root, no ip(8)).
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] const std::string& name(Side side) const { return side == Side::kLeft ? left_ : right_; }
  /// Runs a shell command inside; true when it exits with 0.
  [[nodiscard]] bool run(Side side, std::string_view command) const;

  static constexpr std::string_view kLeftInterface = "left0";
  static constexpr std::string_view kRightInterface = "right0";

 private:
  [[nodiscard]] bool set_up(const Options& options) const;

  std::string left_;
  std::string right_;
  bool ok_ = false;
};

/// Moves the calling thread into a namespace while it lives: sockets and devices opened meanwhile stay there
/// for good.
class InNamespace {
 public:
  explicit InNamespace(std::string_view name);
  InNamespace(const NetNamespacePair& pair, NetNamespacePair::Side side) : InNamespace(pair.name(side)) {}
  InNamespace(const InNamespace&) = delete;
  InNamespace& operator=(const InNamespace&) = delete;
  ~InNamespace();

  [[nodiscard]] bool ok() const { return ok_; }

 private:
  int home_ = -1;
  bool ok_ = false;
};

/// Removes the namespaces that dead test processes left behind.
void remove_stale_namespaces();

}  // namespace millrace::test
