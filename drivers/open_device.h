#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "capture/capture.h"
#include "link/net_device.h"

namespace millrace::drivers {

class PipeRegistry;
class Fanout;
class XdpProgram;

/// One queue of a device that has several, while they are opened one after the other.
struct QueueOfDevice {
  std::uint32_t index = 0, count = 1;
  std::shared_ptr<Fanout> fanout = nullptr;            ///< of AF_PACKET
  std::shared_ptr<XdpProgram>* xdp_program = nullptr;  ///< of AF_XDP
};

/// What opening a device may need besides its spec.
struct DeviceOptions {
  PipeRegistry* pipes = nullptr;  ///< where pipes meet; null: the process's own
  /// NetDevice::handover() of the device before: it is not opened anew.
  std::vector<int> inherited = {};
  /// A file of a page's size or more, for what the device's users in several processes must agree on: its
  /// first page is the device's. -1: memory that only forked children share.
  int shared_file = -1;
  CaptureOptions capture = {};
  QueueOfDevice queue = {};  ///< filled in by open_queues()
};

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
///     tap(peer_address=198.18.0.1/24):mill0        a TAP interface, whose kernel side gets an address
///     pcap:in=in.pcap,out=out.pcapng               files in the place of a network
///     pipe(rate=10M,delay=20ms):a                  one end of a wire in memory; the second open is the other
///     end
///     dpdk:net_virtio_user0,path=/run/p.sock       a device of DPDK's
[[nodiscard]] OpenResult open_device(std::string_view spec, const DeviceOptions& options = {});

/// The queues of one open device, or one line.
struct OpenQueuesResult {
  std::vector<std::unique_ptr<NetDevice>> queues;
  std::string error;

  [[nodiscard]] bool ok() const { return !queues.empty(); }
};
/// Opens a device with so many queues, each of which gets the frames of the flows that are at home there (see
/// SteeredDevice). With `options.inherited`: what all of them handed over, in their order. One queue is what
/// open_device() gives.
[[nodiscard]] OpenQueuesResult open_queues(std::string_view spec, std::uint32_t count,
                                           const DeviceOptions& options = {});

/// Whether another image of this process could go on with such a device (see NetDevice::handover): else a
/// launcher leaves it alone, as only one can have it. True where the spec is wrong.
[[nodiscard]] bool can_hand_over(std::string_view spec);
/// This build can open devices of a driver: "af_packet".
[[nodiscard]] bool is_built_in(std::string_view driver);

}  // namespace millrace::drivers
