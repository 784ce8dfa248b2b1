#pragma once

#include <xdp/xsk.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "af_packet/link_monitor.h"
#include "af_xdp/config.h"
#include "af_xdp/umem.h"
#include "af_xdp/xdp_program.h"
#include "link/net_device.h"
#include "unique_fd.h"

namespace millrace::drivers {

/// One queue of an interface of the kernel, by an AF_XDP socket, alone or as one of several: frames come
/// before the kernel has made anything of them, into memory of ours, and travel to recv() from there. No
/// checksums, no super-frames: a kernel peer on the same host must have its transmit checksum offload off
/// (ethtool -K ... tx off).
class AfXdpDevice final : public NetDevice {
 public:
  /// Null, and `error` says what is wrong and what to do.
  [[nodiscard]] static std::unique_ptr<AfXdpDevice> open(const AfXdpConfig& config, std::string& error);
  ~AfXdpDevice() override;

  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override;
  std::size_t tx_burst(PacketQueue& packets, Instant now) override;
  void own_addresses(std::span<const IpPrefix> addresses) override;
  [[nodiscard]] std::span<const WaitFd> wait_fds() override;
  [[nodiscard]] bool arm() override;
  [[nodiscard]] Duration max_sleep(Instant now) const override;
  [[nodiscard]] bool tx_full() const override { return tx_full_; }
  [[nodiscard]] DeviceEvent take_event() override { return link_.take_event(); }

  [[nodiscard]] const DeviceCaps& caps() const override { return caps_; }
  [[nodiscard]] MacAddress mac() const override { return mac_; }
  [[nodiscard]] std::uint32_t mtu() const override { return mtu_; }
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] DeviceStats stats() override;

  /// Attached to the interface's driver, not to the kernel's general hook.
  [[nodiscard]] bool native() const { return program_->native(); }

 private:
  AfXdpDevice(const AfXdpConfig& config, std::shared_ptr<XdpProgram> program);
  [[nodiscard]] std::string initialise();
  [[nodiscard]] std::string attach(int interface_index);
  [[nodiscard]] std::string make_socket();
  [[nodiscard]] std::string poll_busily();
  [[nodiscard]] std::string become_promiscuous(int interface_index);
  void detach();
  [[nodiscard]] PacketPtr receive_one(PacketPool& pool, const xdp_desc& from);
  [[nodiscard]] bool put_on_ring(const Packet& packet);
  void ask_for_frames();
  void kick();
  [[nodiscard]] std::uint32_t waiting_to_send() const;
  void check_link();

  AfXdpConfig config_;
  Umem umem_;
  std::shared_ptr<XdpProgram> program_;  ///< of all queues of the interface
  std::uint32_t queue_;                  ///< the interface's number of this one
  xsk_socket* socket_ = nullptr;
  xsk_ring_cons rx_{};
  xsk_ring_prod tx_{};
  UniqueFd promiscuous_;
  LinkMonitor link_;
  bool tx_full_ = false;
  bool received_since_arm_ = true;
  Instant next_link_check_{};
  DeviceCaps caps_;
  DeviceStats stats_;
  std::uint64_t dropped_before_ = 0;  ///< by sockets that are closed
  MacAddress mac_;
  std::uint32_t mtu_ = 0;
  std::string name_;
  std::array<WaitFd, 2> wait_fds_;
};

}  // namespace millrace::drivers
