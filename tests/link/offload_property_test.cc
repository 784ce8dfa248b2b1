// GSO and GRO undo each other; GRO loses, invents and reorders nothing, whatever comes in. A failure names
// its seed; MILLRACE_SEED=n runs that one alone.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "frames.h"
#include "link/gro.h"
#include "link/gso.h"

namespace millrace::link {
namespace {

constexpr std::uint8_t kFin = 0x01, kPsh = 0x08, kAck = 0x10, kCwr = 0x80;

struct Scenario {
  explicit Scenario(std::uint64_t seed) : random(seed) {}
  std::uint32_t below(std::size_t n) { return static_cast<std::uint32_t>(random() % n); }

  TcpFrame some_flow(std::uint16_t port) {
    TcpFrame frame;
    frame.v6 = below(3) == 0;
    frame.source_port = port;
    frame.seq = static_cast<std::uint32_t>(random());
    frame.df = below(2) == 0;
    frame.id = static_cast<std::uint16_t>(random());
    if (frame.v6) {
      frame.id = TcpFrame{}.id;
      frame.df = true;
    }
    frame.tcp_options = random_bytes(random, below(2) == 0 ? 12 : 4 * below(11));
    return frame;
  }

  std::mt19937_64 random;
  PacketPool pool;
};

template <typename Body>
void for_seeds(std::uint64_t count, Body body) {
  if (const char* only = std::getenv("MILLRACE_SEED"); only != nullptr) {
    Scenario scenario{std::stoull(only)};
    body(scenario);
    return;
  }
  for (std::uint64_t seed = 1; seed <= count && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("MILLRACE_SEED=" + std::to_string(seed));
    Scenario scenario{seed};
    body(scenario);
    EXPECT_EQ(scenario.pool.packets_in_use(), 0u);
    EXPECT_EQ(scenario.pool.buffers_in_use(), 0u);
  }
}

TEST(OffloadProperty, WhatIsSegmentedComesOutOfGroAsItWas) {
  for_seeds(1500, [](Scenario& scenario) {
    TcpFrame frame = scenario.some_flow(4000);
    frame.vlan_tags = static_cast<int>(scenario.below(3));
    frame.flags = static_cast<std::uint8_t>(kAck | (scenario.below(2) ? kPsh : 0) |
                                            (scenario.below(4) ? 0 : kFin) | (scenario.below(4) ? 0 : kCwr));
    const std::size_t mss = 1 + scenario.below(3000);
    // Within what one packet can hold: 65 pieces, 64 KB.
    frame.payload = random_bytes(scenario.random, 1 + scenario.below(std::min<std::size_t>(30 * mss, 65000)));
    const Bytes bytes = frame.frame();
    const std::size_t header = bytes.size() - frame.payload.size();
    // Few enough seams that every segment's pieces fit as well.
    PacketPtr super = scattered_packet(
        scenario.pool, bytes, header + scenario.below(2) * scenario.below(frame.payload.size() + 1),
        {1 + scenario.below(bytes.size()), 1 + scenario.below(bytes.size()), 69000});
    super->offload.gso_size = static_cast<std::uint16_t>(mss);
    PacketQueue frames;
    ASSERT_TRUE(segment(std::move(super), frames,
                        scenario.below(2) ? SegmentPayload::kShare : SegmentPayload::kCopy));
    ASSERT_EQ(frames.size(), (frame.payload.size() + mss - 1) / mss);

    Gro gro;
    PacketQueue out;
    while (PacketPtr piece = frames.pop_front()) {
      ASSERT_TRUE(complete_checksum(*piece));
      const TcpFrame read = TcpFrame::read_frame(contents(*piece));
      ASSERT_LE(read.payload.size(), mss);
      piece->pull(static_cast<std::uint32_t>(frame.link_length()));
      piece->set_network_header();
      gro.add(std::move(piece), out);
    }
    gro.flush(out);
    ASSERT_EQ(out.size(), 1u);
    TcpFrame back = TcpFrame::read_packet(contents(out.front()), false);
    back.vlan_tags = frame.vlan_tags;
    EXPECT_EQ(back, frame);
  });
}

/// Several flows in one receive batch after the other, with loss, reordering, duplication, corruption,
/// acknowledgments and changing windows in between. Cutting what came out at its gso_size gives back what
/// went in.
class Batches {
 public:
  explicit Batches(Scenario& scenario) : scenario_(scenario) {
    for (std::uint16_t i = 0; i < 1 + scenario.below(12); ++i) flows_.push_back(scenario.some_flow(i));
  }

  void run() {
    for (int batch = 0; batch < 6; ++batch) {
      std::vector<Bytes> wire = packets(1 + scenario_.below(80));
      disturb(wire);
      for (const Bytes& packet : wire) {
        in_[key(packet)].push_back(packet);
        gro_.add(arrival(packet), out_);
      }
      gro_.flush(out_);
      while (PacketPtr packet = out_.pop_front()) take(*packet);
      // Nothing stays beyond the batch, and each flow's packets came in their order.
      ASSERT_EQ(seen_, in_);
    }
    merged_anything |= merged_;
  }

  static bool merged_anything;

 private:
  static std::uint32_t key(const Bytes& packet) {
    const std::size_t at = packet[0] >> 4 == 6 ? 40 : 20;
    return std::uint32_t{packet[at]} << 8 | packet[at + 1];
  }

  std::vector<Bytes> packets(std::size_t count) {
    std::vector<Bytes> wire;
    while (wire.size() < count) {
      TcpFrame& flow = flows_[scenario_.below(flows_.size())];
      if (scenario_.below(12) == 0) flow.ack += scenario_.below(3);
      if (scenario_.below(12) == 0)
        flow.window = static_cast<std::uint16_t>(flow.window + scenario_.below(2));
      const std::size_t mss = scenario_.below(8) == 0 ? 1 + scenario_.below(900) : 700;
      for (std::uint32_t burst = 1 + scenario_.below(12); burst != 0; --burst) {
        TcpFrame frame = flow;
        if (scenario_.below(10) != 0)
          frame.payload = random_bytes(scenario_.random, scenario_.below(6) ? mss : 1 + scenario_.below(mss));
        if (scenario_.below(8) == 0) frame.flags |= kPsh;
        if (scenario_.below(40) == 0) frame.flags |= static_cast<std::uint8_t>(1U << scenario_.below(8));
        wire.push_back(frame.packet());
        flow.seq += static_cast<std::uint32_t>(frame.payload.size());
        if (!flow.v6) ++flow.id;
      }
    }
    return wire;
  }

  void disturb(std::vector<Bytes>& wire) {
    for (std::size_t i = 0; i < wire.size(); ++i) {
      const auto at = wire.begin() + static_cast<std::ptrdiff_t>(i);
      switch (scenario_.below(30)) {
        case 0:
          wire.erase(at);
          break;
        case 1:
          std::swap(wire[i], wire[scenario_.below(wire.size())]);
          break;
        case 2:
          wire.insert(at, Bytes{*at});
          break;
        case 3: {
          // Anywhere in the TCP part but the ports.
          const std::size_t tcp_at = wire[i][0] >> 4 == 6 ? 40 : 20;
          const std::size_t position = tcp_at + 4 + scenario_.below(wire[i].size() - tcp_at - 4);
          wire[i][position] ^= static_cast<std::uint8_t>(1U << scenario_.below(8));
          break;
        }
        default:
          break;
      }
      if (wire.empty()) return;
    }
  }

  PacketPtr arrival(const Bytes& packet) {
    Bytes padded = packet;
    if (scenario_.below(4) == 0) padded.resize(packet.size() + scenario_.below(20), 0xaa);
    if (scenario_.below(3) == 0)
      return scattered_packet(scenario_.pool, padded, scenario_.below(padded.size()), {400, 300});
    return linear_packet(scenario_.pool, padded);
  }

  /// Cuts an output packet into what it was made of.
  void take(const Packet& packet) {
    Bytes bytes = contents(packet);
    const bool v6 = bytes[0] >> 4 == 6;
    const std::size_t length_at = v6 ? 4 : 2;
    const std::size_t total = (v6 ? 40U : 0U) + bytes[length_at] * 256U + bytes[length_at + 1];
    ASSERT_GE(bytes.size(), total);
    bytes.resize(total);  // padding of what passed through
    std::vector<Bytes>& seen = seen_[key(bytes)];
    if (packet.offload.gso_size == 0) {
      seen.push_back(bytes);
      return;
    }
    merged_ = true;
    EXPECT_EQ(packet.offload.rx_checksum, Offload::RxChecksum::kVerified);
    const std::size_t mss = packet.offload.gso_size;
    const TcpFrame whole = TcpFrame::read_packet(bytes, false);
    ASSERT_EQ((whole.payload.size() + mss - 1) / mss, packet.offload.gso_segs);
    const std::vector<Bytes>& in = in_.at(key(bytes));
    std::uint8_t flags = 0;
    for (std::size_t at = 0; at < whole.payload.size(); at += mss) {
      ASSERT_LT(seen.size(), in.size());
      // Every piece had a good checksum, was the next of its flow, and differs at most in what may differ.
      const TcpFrame piece = TcpFrame::read_packet(in[seen.size()]);
      TcpFrame expected = whole;
      const auto begin = whole.payload.begin() + static_cast<std::ptrdiff_t>(at);
      expected.payload.assign(begin,
                              begin + static_cast<std::ptrdiff_t>(std::min(mss, whole.payload.size() - at)));
      expected.seq += static_cast<std::uint32_t>(at);
      if (whole.df) {
        expected.id = piece.id;
      } else {
        expected.id = static_cast<std::uint16_t>(whole.id + at / mss);
      }
      expected.flags = piece.flags;
      ASSERT_EQ(piece, expected);
      EXPECT_TRUE((piece.flags & kFin) == 0 || at + mss >= whole.payload.size());
      EXPECT_TRUE((piece.flags & kCwr) == 0 || at == 0);
      flags |= piece.flags;
      seen.push_back(in[seen.size()]);
    }
    EXPECT_EQ(whole.flags, flags);
  }

  Scenario& scenario_;
  std::vector<TcpFrame> flows_;
  Gro gro_;
  PacketQueue out_;
  std::map<std::uint32_t, std::vector<Bytes>> in_, seen_;
  bool merged_ = false;
};
bool Batches::merged_anything = false;

TEST(OffloadProperty, GroKeepsEveryByteOfEveryFlowInItsOrder) {
  for_seeds(400, [](Scenario& scenario) { Batches{scenario}.run(); });
  EXPECT_TRUE(Batches::merged_anything);
}

}  // namespace
}  // namespace millrace::link
