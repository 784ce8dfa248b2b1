#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "golden.h"
#include "random_fields.h"

namespace millrace::wire {
namespace {

/// Golden frames with bits flipped, bytes set to telling values, pieces cut out, doubled or swapped between
/// frames. Each result lies in a heap block of exactly its size, so that a sanitizer sees every read beyond
/// it.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {
    for (const std::string& name : golden_names()) {
      for (Bytes& frame : golden(name)) frames_.push_back(std::move(frame));
    }
  }

  [[nodiscard]] Bytes next() {
    Bytes frame = any();
    for (std::uint32_t n = 1 + random_.rng().below(4); n > 0 && !frame.empty(); --n) mutate(frame);
    frame.shrink_to_fit();
    return frame;
  }
  [[nodiscard]] RandomFields& random() { return random_; }
  [[nodiscard]] bool empty() const { return frames_.empty(); }

 private:
  [[nodiscard]] const Bytes& any() { return frames_[below(frames_.size())]; }
  [[nodiscard]] std::size_t below(std::size_t bound) {
    return random_.rng().below(static_cast<std::uint32_t>(bound));
  }
  /// Mostly within the headers.
  [[nodiscard]] std::size_t position(const Bytes& frame) {
    return below(random_.rng().chance(0.9) ? std::min<std::size_t>(frame.size(), 100) : frame.size());
  }

  void mutate(Bytes& frame) {
    const std::size_t at = position(frame);
    const auto here = frame.begin() + static_cast<std::ptrdiff_t>(at);
    constexpr std::array<std::uint8_t, 12> kTelling{0, 1, 2, 4, 5, 0x0f, 0x40, 0x45, 0x60, 0x7f, 0x80, 0xff};
    switch (below(8)) {
      case 0:
      case 1:
        *here ^= static_cast<std::uint8_t>(1u << below(8));
        break;
      case 2:
        *here = kTelling[below(kTelling.size())];
        break;
      case 3:
        *here = random_.u8();
        break;
      case 4:
        frame.resize(at);
        break;
      case 5:
        frame.erase(here, here + static_cast<std::ptrdiff_t>(
                                     below(std::min<std::size_t>(frame.size() - at, 12)) + 1));
        break;
      case 6: {
        const Bytes piece(here, here + static_cast<std::ptrdiff_t>(
                                           below(std::min<std::size_t>(frame.size() - at, 40)) + 1));
        frame.insert(here, piece.begin(), piece.end());
        break;
      }
      default: {
        const Bytes& other = any();
        const std::size_t from = std::min(at, other.size());
        frame.resize(at);
        frame.insert(frame.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
        break;
      }
    }
  }

  RandomFields random_;
  std::vector<Bytes> frames_;
};

/// Makes the IPv4 header checksum right again, so that the mutation gets past it.
void repair(Bytes& frame) {
  if (frame.size() < 34 || frame[12] != 0x08 || frame[13] != 0x00) return;
  const auto packet = std::span{frame}.subspan(14);
  const std::size_t length = std::min<std::size_t>(packet.size(), (packet[0] & 0xfu) * 4);
  if (length < 20) return;
  store_be16(&packet[10], 0);
  store_be16(&packet[10], internet_checksum(packet.first(length)));
}

/// Every parser on every suffix that starts within the first bytes, whatever the bytes are meant to be.
template <typename... Headers>
std::size_t parse_all(std::span<const std::uint8_t> bytes) {
  return (std::size_t{0} + ... + (Headers::parse(bytes) ? 1 : 0));
}

TEST(MutatedFrames, AreParsedOrRejectedAndWhatIsParsedRoundTrips) {
  // MILLRACE_MUTATIONS runs more of them.
  const char* wish = std::getenv("MILLRACE_MUTATIONS");
  const unsigned long rounds = wish != nullptr ? std::strtoul(wish, nullptr, 10) : 60000;
  Mutator mutator{70};
  ASSERT_FALSE(mutator.empty());
  std::size_t accepted = 0;
  std::size_t rejected = 0;
  std::size_t round_trips = 0;
  for (unsigned long i = 0; i < rounds; ++i) {
    Bytes frame = mutator.next();
    if (mutator.random().flag()) repair(frame);
    const auto decoded = decode(frame);
    if (!decoded) {
      ++rejected;
      continue;
    }
    ++accepted;
    // The structs do not keep an unusual order of options, unknown ones, padding and reserved bits. But where
    // the size still agrees, what they emit reads back the same.
    const auto* segment = std::get_if<TcpSegment>(&decoded->message);
    if (segment != nullptr && segment->header.header_length != TcpHeader::kSize + segment->options.size())
      continue;
    const Bytes once = encode(*decoded);
    if (once.size() != frame.size()) continue;
    ++round_trips;
    const auto again = decode(once);
    ASSERT_TRUE(again) << "mutation " << i;
    ASSERT_EQ(encode(*again), once) << "mutation " << i;
  }
  EXPECT_GT(accepted, rounds / 20);
  EXPECT_GT(rejected, rounds / 20);
  EXPECT_GT(round_trips, rounds / 20);
}

TEST(MutatedFrames, NoParserReadsBeyondWhatItIsGiven) {
  Mutator mutator{71};
  ASSERT_FALSE(mutator.empty());
  std::size_t parsed = 0;
  for (int i = 0; i < 5000; ++i) {
    const Bytes frame = mutator.next();
    for (std::size_t from = 0; from < std::min<std::size_t>(frame.size(), 80); from += 2) {
      const Bytes rest(frame.begin() + static_cast<std::ptrdiff_t>(from), frame.end());
      parsed += parse_all<EthernetHeader, VlanTag, ArpPacket, Ipv4Header, Ipv4View, Icmpv4Header, Ipv6Header,
                          Ipv6View, Ipv6FragmentHeader, Icmpv6Header, NeighborOptions, NeighborSolicitation,
                          NeighborAdvertisement, RouterSolicitation, RouterAdvertisement, NeighborRedirect,
                          UdpHeader, TcpHeader>(rest);
      const TcpOptions options =
          TcpOptions::parse(std::span{rest}.first(std::min<std::size_t>(rest.size(), 40)));
      ASSERT_LE(options.sack_count, TcpOptions::kMaxSackBlocks);
      const auto walk = Ipv6ExtensionWalk::over(rest[0], rest);
      ASSERT_LE(walk.offset, rest.size());
    }
  }
  EXPECT_GT(parsed, 100000u);
}

TEST(MutatedFrames, EveryTruncationOfEveryGoldenFrameIsHarmless) {
  for (const std::string& name : golden_names()) {
    for (const Bytes& frame : golden(name)) {
      for (std::size_t n = 0; n < std::min<std::size_t>(frame.size(), 160); ++n) {
        const Bytes part(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(n));
        ASSERT_FALSE(decode(part)) << name << " cut to " << n;
      }
    }
  }
}

}  // namespace
}  // namespace millrace::wire
