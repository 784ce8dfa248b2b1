#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "base/ip_address.h"
#include "base/time.h"
#include "link/net_device.h"
#include "open_device.h"
#include "packet/pool.h"

namespace millrace::bench {

/// A device without Millrace's stack above it, and the memory of its packets.
struct Port {
  static constexpr std::size_t kBurst = 64;

  /// `addresses`: those of the frames that come, which the kernel is kept from, as for the stack. Throws
  /// std::runtime_error with one line for the user.
  Port(const std::string& spec, std::span<const IpPrefix> addresses) {
    drivers::OpenResult opened = drivers::open_device(spec);
    if (!opened.ok()) throw std::runtime_error(opened.error);
    device = std::move(opened.device);
    device->own_addresses(addresses);
    if (SlabSource* memory = device->slab_source(); memory != nullptr) pool.take_slabs_from(*memory);
  }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  /// Precondition: no packet of the pool is left but in the device.
  ~Port() { device->release_packets(); }

  std::size_t receive(PacketQueue& out) { return device->rx_burst(pool, out, kBurst, now()); }
  /// What the device had no room for stays in the queue.
  void send(PacketQueue& out) {
    if (!out.empty()) device->tx_burst(out, now());
  }

  std::unique_ptr<NetDevice> device;  // outlives the packets
  PacketPool pool;

 private:
  static Instant now() { return Instant(std::chrono::steady_clock::now().time_since_epoch()); }
};

}  // namespace millrace::bench
