// The headers of the usual segment are written at once. They are those that the layers write one by one.

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "base/byte_order.h"
#include "base/checksum.h"
#include "base/rng.h"
#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using Frames = std::vector<std::vector<std::uint8_t>>;

/// What goes out in a conversation of requests and answers, losses and holes among them, each time the same
/// one: with the checksums that a device would fill in.
class Conversation {
 public:
  Conversation(std::uint64_t seed, const DeviceCaps& caps) : rng_(seed), script_(options(seed, caps)) {
    Seg first = syn().mss(1000).sack_ok().wscale(2);
    if (seed % 2 == 0) first.with_ts();
    script_.establish(first);
    script_.set_option(SocketOption::kNoDelay, 1);
    if (seed % 3 == 0) script_.set_option(SocketOption::kTypeOfService, 0x28);
    if (seed % 5 == 0) script_.set_option(SocketOption::kTimeToLive, 17);
    if (seed % 7 == 0) script_.set_option(SocketOption::kMtuDiscover, 0);
    for (int turn = 0; turn < 60; ++turn) step();
    script_.take_sent();
    script_.inject(rst(received_));
    static_cast<void>(script_.read_error());
    for (const SentFrame& frame : script_.frames()) {
      frames.push_back(frame.bytes);
      if (!frame.offload.needs_checksum) continue;
      ++unfinished;
      std::vector<std::uint8_t>& bytes = frames.back();
      const std::span covered = std::span{bytes}.subspan(frame.offload.checksum_start);
      const std::uint16_t sum = internet_checksum(covered);
      store_be16(&covered[frame.offload.checksum_offset], sum);
    }
  }

  Frames frames;
  std::size_t unfinished = 0;

 private:
  static TcpScript::Options options(std::uint64_t seed, const DeviceCaps& caps) {
    TcpScript::Options options;
    options.caps = caps;
    options.seed = seed;
    options.keep_frames = true;
    return options;
  }
  void step() {
    script_.after(std::chrono::microseconds(rng_.below(20'000) + 1));
    switch (rng_.below(8)) {
      case 0:
        write(rng_.below(5000) + 1);  // more than a segment
        break;
      case 1:  // a hole, which our ACKs tell of until it is filled
        script_.inject(data(received_ + 100, received_ + 200).ack(sent_end()));
        write(rng_.below(900) + 1);
        script_.inject(data(received_, received_ + 100).ack(sent_end()));
        received_ += 200;
        break;
      case 2:
        write(rng_.below(900) + 1);
        script_.after(600ms);  // lost: sent again
        break;
      case 3:
        static_cast<void>(script_.try_write(1, {.out_of_band = true}));
        ++written_;
        break;
      default:
        write(rng_.below(900) + 1);
    }
    script_.inject(data(received_, received_ + 50).ack(sent_end()));
    received_ += 50;
    script_.read();
  }
  [[nodiscard]] std::uint32_t sent_end() const { return written_ - script_.info().notsent_bytes; }
  void write(std::uint32_t bytes) {
    script_.write(bytes);
    written_ += bytes;
  }

  Rng rng_;
  TcpScript script_;
  std::uint32_t written_ = 1, received_ = 1;
};

TEST(UsualSegment, IsWhatTheLayersWriteOneByOne) {
  for (std::uint64_t seed = 1; seed <= 42; ++seed) {
    const Conversation one_by_one(seed, {});
    ASSERT_EQ(one_by_one.unfinished, 0u);
    ASSERT_GT(one_by_one.frames.size(), 80u);
    for (const bool scatter : {false, true}) {
      const Conversation at_once(seed, {.tx_checksum = true, .scatter = scatter});
      ASSERT_EQ(at_once.unfinished, at_once.frames.size());
      ASSERT_EQ(at_once.frames.size(), one_by_one.frames.size()) << "seed " << seed;
      for (std::size_t i = 0; i < at_once.frames.size(); ++i)
        ASSERT_EQ(at_once.frames[i], one_by_one.frames[i]) << "seed " << seed << ", frame " << i;
    }
  }
}

TEST(UsualSegment, OfALinkThatIsDownIsCountedAndComesAgain) {
  TcpScript::Options options;
  options.caps.tx_checksum = true;
  TcpScript script(options);
  script.establish();
  script.tell(DeviceEvent::kLinkDown);
  script.write(100);
  script.expect_nothing();
  EXPECT_EQ(script.stack().interfaces().front()->counters()[link::Counter::kTxLinkDown], 1u);
  script.inject(rst(1));
  static_cast<void>(script.read_error());
}

}  // namespace
}  // namespace millrace::test
