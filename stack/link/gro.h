#pragma once

#include <array>
#include <cstdint>

#include "packet/packet.h"

namespace millrace::link {

/// Generic receive offload: within one receive batch, merges the in-order data segments of a TCP flow into
/// one packet of up to 64 KB, so that the layers above work once for many frames. Owned by an Interface.
///
///      frame 1            frame 2            frame 3                 one packet, gso_size = |A|, gso_segs =
///      3 [IP|TCP| A ]       [IP|TCP| B ]       [IP|TCP| C ]     ⇒      [IP|TCP| A ] + [ B ] + [ C ]
///
/// Segments merge when nothing a receiver could tell apart is lost: same 4-tuple, acknowledgment, window,
/// options (timestamps too), TTL, TOS, and flags but PSH and FIN, which end up on the whole; payloads of one
/// size, but for a shorter last one; each with a good checksum, verified here unless the device did. Every
/// other packet passes through as it came, behind what its flow had collected: order within a flow is kept,
/// and nothing stays beyond flush().
///
/// Requests and answers of many connections find nobody to merge with. Once that was so for many small
/// frames, only one batch in kTrial is tried, until something merges again or a batch begins with a larger
/// frame.
class Gro {
 public:
  static constexpr std::uint32_t kPatience = 256, kTrial = 8, kSmall = 600;

  /// Before a batch of several frames: whether add() is to see them.
  [[nodiscard]] bool try_batch(const Packet& first) {
    if (first.length() > kSmall) unmerged_ = 0;
    if (unmerged_ < kPatience) return true;
    untried_ = (untried_ + 1) % kTrial;
    return untried_ == 0;
  }
  /// `frame` has data() at the IP header; whatever is ready to go up is appended to `out`.
  void add(PacketPtr frame, PacketQueue& out);
  /// The end of the batch: gives up all that is held.
  void flush(PacketQueue& out);

 private:
  static constexpr std::size_t kFlows = 8;

  /// What add() needs to know of a TCP packet.
  struct Arrival {
    std::uint8_t network_length = 0;
    std::uint8_t header_length = 0;  ///< IP and TCP; 0: no whole segment
    bool v4 = true;
    std::uint16_t total_length = 0;  ///< of the IP packet, without Ethernet padding
    std::uint32_t hash = 0;
    [[nodiscard]] std::uint32_t payload() const { return std::uint32_t{total_length} - header_length; }
  };

  /// A packet being built. Empty: `packet` is null.
  struct Flow {
    PacketPtr packet;
    Arrival first;
    std::uint32_t next_seq = 0;
    std::uint32_t total_length = 0;  ///< of the IP packet so far
    std::uint16_t segments = 0;
    std::uint16_t identification = 0;  ///< of the last segment
    std::uint8_t flags = 0;            ///< of all segments together
    bool complete = false;             ///< a short segment or FIN came: nothing may follow
  };

  [[nodiscard]] static bool is_tcp(Packet& frame, Arrival& arrival);
  [[nodiscard]] static bool is_mergeable(Packet& frame, const Arrival& arrival);
  [[nodiscard]] static bool continues(const Flow& flow, const Packet& frame, const Arrival& arrival);
  [[nodiscard]] bool merge(Flow& flow, PacketPtr& frame, const Arrival& arrival);
  [[nodiscard]] Flow* find(const Packet& frame, const Arrival& arrival);
  void start(Flow& flow, PacketPtr frame, const Arrival& arrival);
  [[nodiscard]] Flow& vacant(PacketQueue& out);
  void give_up(Flow& flow, PacketQueue& out);

  std::array<Flow, kFlows> flows_;
  std::uint32_t held_ = 0;
  std::size_t next_victim_ = 0;
  std::uint32_t unmerged_ = 0;  ///< small frames in a row, as far as kPatience
  std::uint32_t untried_ = 0;   ///< batches since then, modulo kTrial
};

}  // namespace millrace::link
