#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/apart.h"
#include "base/counters.h"
#include "base/ip_address.h"
#include "base/rng.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "link/address_claims.h"
#include "link/gro.h"
#include "link/neighbour.h"
#include "link/net_device.h"
#include "packet/pool.h"

namespace millrace::link {

class Interface;

enum class Counter : std::uint8_t {
  kRxFrames,
  kRxTooShort,          ///< no room for an Ethernet header
  kRxOtherHost,         ///< unicast to another MAC
  kRxUnknownProtocol,   ///< EtherType nobody speaks
  kRxVlanDropped,       ///< tagged for a VLAN that is not ours
  kRxMulticastIgnored,  ///< to a group; nobody here joins one
  kRxNoMemory,          ///< no room to make the headers contiguous
  kTxFrames,
  kTxNoMemory,
  kTxQueueDropped,  ///< the bounded transmit queue was full
  kTxLinkDown,      ///< dropped because the link is down
  kLinkUpEvents,
  kLinkDownEvents,
  kCount,
};
[[nodiscard]] std::string_view name_of(Counter counter);
/// It says that a received frame was dropped, or what it asked for refused.
[[nodiscard]] bool counts_drop(Counter counter);

/// Watches what becomes of received frames, one at a time.
class FrameObserver {
 public:
  virtual ~FrameObserver() = default;
  /// Frames follow.
  virtual void start() = 0;
  /// A frame of the device has been dealt with, the first of the others that have not.
  virtual void frame_done(NetDevice& device) = 0;
};

/// The network layer above: gets each IP packet, data() at the IP header.
class PacketSink {
 public:
  virtual ~PacketSink() = default;
  virtual void on_ip_packet(PacketPtr packet, std::uint16_t ether_type, Interface& interface,
                            Instant now) = 0;
  /// How many packets before its turn it wants to be told of one, by expect(); 0: of none.
  [[nodiscard]] virtual std::size_t looks_ahead() const { return 0; }
  /// The frame after those told of before, from the network header on, so that what it needs can be fetched
  /// meanwhile. Empty: it has none, or there is none. For all frames of a burst, or for none.
  virtual void expect(std::uint16_t /*ether_type*/, std::span<const std::uint8_t> /*packet*/) {}
  /// A packet that waited for a neighbour who does not answer: becomes ICMP host unreachable or a socket
  /// error.
  virtual void on_unreachable(PacketPtr packet, Interface& interface, Instant now) = 0;
};

struct InterfaceConfig {
  std::vector<IpPrefix> addresses;
  std::uint32_t mtu = 0;  ///< 0: the device's
  std::size_t tx_queue_packets = 16384;
  std::uint32_t tx_queue_bytes = 6 << 20;  ///< half of them are as much as one wants to wait behind
  bool probe_addresses = true;             ///< RFC 5227 probes and announcements at start
  NeighbourConfig neighbours;
};

/// One device with its addresses: Ethernet in and out, neighbours, GRO, and GSO and checksums in software
/// where the device lacks them.
class alignas(kApart) Interface {
 public:
  Interface(std::uint8_t id, NetDevice& device, const InterfaceConfig& config, PacketPool& pool,
            TimerWheel& timers, Rng& rng, PacketSink& sink, Instant now);
  ~Interface();

  /// One frame from the wire (public for fuzzing; poll() calls it). Bad frames are counted, never more.
  void on_frame(PacketPtr frame, Instant now);
  /// Receives up to `budget` frames and passes them up; ends the batch with a GRO flush. Returns how many
  /// came.
  std::size_t poll(std::size_t budget, Instant now);
  /// Sends an IP packet (data() at the IP header, network header offset set, headroom for Ethernet) to the
  /// neighbour next_hop. Queued there while unresolved. Frames collect until flush().
  void transmit(PacketPtr&& packet, const IpAddress& next_hop, Instant now);
  /// For who writes an IPv4 packet's Ethernet header itself: the neighbour's address, where nothing is left
  /// to be done with a frame in one piece that needs a checksum. Null: transmit() it.
  [[nodiscard]] const MacAddress* ready_for(const IpAddress& next_hop, Instant now) {
    if (!link_up_ || !caps_.tx_checksum) return nullptr;
    return neighbours_.find(next_hop, now);
  }
  /// Such a frame. One that is refused (counted) stays with the caller.
  void transmit_ready(PacketPtr&& frame, Instant now) { enqueue(std::move(frame), tx_queue_limit_, now); }
  /// To the broadcast MAC.
  void transmit_broadcast(PacketPtr packet, Instant now);
  /// Hands collected frames to the device. What the device cannot take stays queued.
  void flush(Instant now) {
    if (!tx_queue_.empty()) counters_.add(Counter::kTxFrames, device_.tx_burst(tx_queue_, now));
  }
  [[nodiscard]] bool tx_pending() const { return !tx_queue_.empty(); }
  /// Frames that joined the transmit queue so far, and those of them that have left it again; both wrap.
  [[nodiscard]] std::uint32_t tx_queued() const { return tx_queued_; }
  [[nodiscard]] std::uint32_t tx_left() const {
    return tx_queued_ - static_cast<std::uint32_t>(tx_queue_.size());
  }
  /// True while so much waits for the device, half of the frames or of the bytes that may, that senders who
  /// can wait should: datagram sockets and TCP's data do.
  [[nodiscard]] bool tx_congested() const {
    return tx_queue_.size() >= tx_queue_limit_ / 2 || tx_queue_bytes() >= tx_queue_bytes_limit_ / 2;
  }
  /// Of the frames that wait for the device.
  [[nodiscard]] std::uint32_t tx_queue_bytes() const {
    return tx_queue_.empty() ? 0 : tx_queued_bytes_ - tx_queue_.front().queued_after;
  }
  /// Lets the device take what waits, where it may.
  void offer(Instant now) {
    if (!device_.tx_full()) flush(now);
  }
  /// The same, if so much waits. False: it is congested.
  [[nodiscard]] bool make_room(Instant now) {
    if (!tx_congested()) return true;
    offer(now);
    return !tx_congested();
  }
  /// InterfaceConfig::tx_queue_packets from now on. What waits already stays.
  void set_tx_queue_packets(std::size_t packets) { tx_queue_limit_ = packets; }

  [[nodiscard]] std::uint8_t id() const { return id_; }
  [[nodiscard]] NetDevice& device() { return device_; }
  [[nodiscard]] MacAddress mac() const { return mac_; }
  [[nodiscard]] std::uint32_t mtu() const { return mtu_; }
  [[nodiscard]] bool link_up() const { return link_up_; }
  [[nodiscard]] std::span<const IpPrefix> addresses() const { return addresses_; }
  [[nodiscard]] bool owns(const IpAddress& address) const;
  [[nodiscard]] bool is_directed_broadcast(const IpAddress& address) const;
  /// The largest TCP payload one super-packet may carry to this device (1 MSS where neither TSO nor GSO
  /// helps).
  [[nodiscard]] std::uint32_t max_gso_bytes() const;
  [[nodiscard]] NeighbourCache& neighbours() { return neighbours_; }
  [[nodiscard]] const CounterSet<Counter>& counters() const { return counters_; }
  /// From now on frames go up one by one, without GRO, and the observer, which must live as long, is told of
  /// each.
  void set_observer(FrameObserver* observer) { observer_ = observer; }

 private:
  friend class NeighbourCache;
  friend class AddressClaims;
  /// ARP gets this much more of a full transmit queue.
  static constexpr std::size_t kTxQueueReserve = 64;

  [[nodiscard]] AddressClaims& claims() { return claims_; }
  [[nodiscard]] bool is_on_link(const IpAddress& address) const;
  /// What becomes of a frame from the wire. `merge`: others of its batch may follow it in its flow.
  void receive(PacketPtr frame, bool merge, Instant now);
  /// The same for a batch; the sink is told of each frame so many frames before its turn.
  void receive_ahead(std::size_t ahead, bool merge, Instant now);
  void receive_observed(Instant now);
  /// The address of ours that asks for a neighbour.
  [[nodiscard]] IpAddress source_for(const IpAddress& neighbour) const;
  /// A packet whose neighbour did not answer.
  void fail(PacketPtr packet, Instant now);

  void handle_device_event(DeviceEvent event, Instant now);
  /// The EtherType behind the Ethernet header and a priority tag, data() moved there; nullopt: counted, drop
  /// it.
  [[nodiscard]] std::optional<std::uint16_t> accept(Packet& frame);
  /// Passes up what GRO has finished with.
  void deliver(Instant now);

  void send_frame(PacketPtr&& packet, const MacAddress& destination, std::uint16_t ether_type, Instant now);
  /// Does in software what the device cannot, and queues the result.
  inline void prepare(PacketPtr&& frame, Instant now);
  inline void prepare_one(PacketPtr&& frame, Instant now);
  [[nodiscard]] bool device_segments(const Packet& frame) const;
  [[gnu::always_inline]] inline void enqueue(PacketPtr&& frame, std::size_t limit, Instant now) {
    if ((!link_up_ || tx_queue_.size() >= limit) && !make_place(*frame, limit, now)) [[unlikely]]
      return;
    frame->queued_after = tx_queued_bytes_;
    tx_queued_bytes_ += frame->length();
    tx_queue_.push_back(std::move(frame));
    ++tx_queued_;
  }
  /// In a transmit queue that is full, or of a link that is down. False: there is none, and the frame, which
  /// is counted, is to be dropped.
  [[nodiscard]] bool make_place(const Packet& frame, std::size_t limit, Instant now);
  /// Counts a frame that is dropped on its way out.
  void refuse(const Packet& frame, Counter counter);

  std::uint8_t id_;
  NetDevice& device_;
  const DeviceCaps caps_;
  PacketPool& pool_;
  PacketSink& sink_;
  FrameObserver* observer_ = nullptr;
  MacAddress mac_;
  std::uint32_t mtu_;
  bool link_up_ = true;
  std::vector<IpPrefix> addresses_;
  std::vector<IpAddress> broadcasts_;  ///< of those addresses' subnets
  NeighbourCache neighbours_;
  AddressClaims claims_;
  Gro gro_;
  PacketQueue rx_batch_, received_, tx_queue_;
  std::size_t tx_queue_limit_;
  std::uint32_t tx_queue_bytes_limit_;
  std::uint32_t tx_queued_ = 0, tx_queued_bytes_ = 0;
  CounterSet<Counter> counters_;
};

}  // namespace millrace::link
