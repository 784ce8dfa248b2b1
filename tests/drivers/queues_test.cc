// Devices with several queues: where a frame is at home, and how it gets there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "af_packet/fanout.h"
#include "base/byte_order.h"
#include "link/flow_home.h"
#include "link/rss_hash.h"
#include "open_device.h"
#include "queues/frame_home.h"
#include "queues/mailbox.h"
#include "queues/steered_device.h"

namespace millrace::drivers::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Flow {
  std::uint32_t source = 0xc6120001, destination = 0xc6120002;
  std::uint16_t source_port = 40000, destination_port = 7;
};

Bytes ipv4(std::uint8_t protocol, const Flow& flow, std::size_t options = 0, std::uint16_t fragment = 0) {
  Bytes packet(20 + options + 8);
  packet[0] = static_cast<std::uint8_t>(0x40 | (5 + options / 4));
  store_be16(&packet[2], static_cast<std::uint16_t>(packet.size()));
  store_be16(&packet[6], fragment);
  packet[8] = 64;
  packet[9] = protocol;
  store_be32(&packet[12], flow.source);
  store_be32(&packet[16], flow.destination);
  store_be16(&packet[20 + options], flow.source_port);
  store_be16(&packet[22 + options], flow.destination_port);
  return packet;
}

Bytes icmp_error(const Bytes& quoted) {
  constexpr std::size_t kHeaders = 28;
  Bytes packet = ipv4(1, {0xc6120009, 0xc6120001, 0, 0});
  packet[20] = 3;
  packet[21] = 3;
  packet.resize(kHeaders + quoted.size());
  std::copy(quoted.begin(), quoted.end(), packet.begin() + kHeaders);
  return packet;
}

Bytes frame_of(const Bytes& packet, std::uint16_t type = 0x0800, bool tagged = false) {
  constexpr std::size_t kAddresses = 12;
  const std::size_t at = kAddresses + (tagged ? 4 : 0);
  Bytes frame(at + 2 + packet.size());
  if (tagged) store_be16(&frame[kAddresses], 0x8100);
  store_be16(&frame[at], type);
  std::copy(packet.begin(), packet.end(), frame.begin() + static_cast<std::ptrdiff_t>(at + 2));
  return frame;
}

/// Numbers of 32 and of 16 bits.
class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::uint32_t word() { return static_cast<std::uint32_t>(engine_()); }
  std::uint16_t port() { return static_cast<std::uint16_t>(engine_()); }

 private:
  std::mt19937 engine_;
};

/// Runs a classic BPF program on a packet as the kernel would, without the link header in front. A load
/// beyond the end returns 0.
std::uint32_t run(const std::vector<sock_filter>& program, const Bytes& packet, std::uint16_t protocol) {
  std::uint32_t a = 0, x = 0;
  std::array<std::uint32_t, 16> memory{};
  const auto load = [&](std::uint32_t at, std::size_t size, std::uint32_t& value) {
    if (at == static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PROTOCOL)) {
      value = protocol;
      return true;
    }
    const std::uint32_t offset = at - static_cast<std::uint32_t>(SKF_NET_OFF);
    if (offset + size > packet.size()) return false;
    value = 0;
    for (std::size_t i = 0; i < size; ++i) value = value << 8 | packet[offset + i];
    return true;
  };
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& one = program[at];
    const std::uint32_t operand = BPF_SRC(one.code) == BPF_X ? x : one.k;
    switch (BPF_CLASS(one.code)) {
      case BPF_LD: {
        const std::size_t size = BPF_SIZE(one.code) == BPF_W ? 4 : BPF_SIZE(one.code) == BPF_H ? 2 : 1;
        if (!load(BPF_MODE(one.code) == BPF_IND ? one.k + x : one.k, size, a)) return 0;
        break;
      }
      case BPF_LDX:
        if (BPF_MODE(one.code) == BPF_MEM) {
          x = memory.at(one.k);
        } else {
          if (!load(one.k, 1, x)) return 0;
          x = (x & 0xf) * 4;
        }
        break;
      case BPF_ST:
        memory.at(one.k) = a;
        break;
      case BPF_ALU:
        switch (BPF_OP(one.code)) {
          case BPF_ADD:
            a += operand;
            break;
          case BPF_MUL:
            a *= operand;
            break;
          case BPF_MOD:
            a %= operand;
            break;
          case BPF_XOR:
            a ^= operand;
            break;
          case BPF_AND:
            a &= operand;
            break;
          case BPF_RSH:
            a >>= operand;
            break;
          default:
            ADD_FAILURE() << "operation " << one.code;
            return 0;
        }
        break;
      case BPF_JMP: {
        const bool jumps = BPF_OP(one.code) == BPF_JSET ? (a & operand) != 0 : a == operand;
        at += jumps ? one.jt : one.jf;
        break;
      }
      case BPF_RET:
        return BPF_RVAL(one.code) == BPF_A ? a : one.k;
      case BPF_MISC:
        x = a;
        break;
      default:
        ADD_FAILURE() << "class " << one.code;
        return 0;
    }
  }
  ADD_FAILURE() << "the program has no end";
  return 0;
}

TEST(FlowHome, IsTheSameForBothDirections) {
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t a = random.word(), b = random.word();
    const std::uint16_t p = random.port(), q = random.port();
    EXPECT_EQ(link::FlowHome::queue(a, p, b, q, 7), link::FlowHome::queue(b, q, a, p, 7));
  }
}

TEST(FlowHome, SpreadsPortsOfOneClientEvenly) {
  constexpr std::uint32_t kQueues = 4, kPorts = 20000;
  std::array<unsigned, kQueues> counts{};
  for (std::uint32_t port = 32768; port < 32768 + kPorts; ++port)
    ++counts[link::FlowHome::queue(0xc6120001, static_cast<std::uint16_t>(port), 0xc6120002, 80, kQueues)];
  for (const unsigned count : counts) EXPECT_NEAR(count, kPorts / kQueues, kPorts / kQueues / 5);
}

TEST(SteeringProgram, SendsFlowsWhereTheyAreAtHome) {
  Random random(2);
  for (const std::uint32_t queues : {2u, 3u, 8u, 64u}) {
    const std::vector<sock_filter> program = steering_program(queues, {});
    std::set<std::uint32_t> seen;
    for (int i = 0; i < 2000; ++i) {
      const Flow flow{random.word(), random.word(), random.port(), random.port()};
      const Bytes packet = ipv4(i % 2 != 0 ? 6 : 17, flow, (random.word() % 11) * 4);
      const std::uint32_t home = FrameHome::of_packet(packet, {queues});
      ASSERT_EQ(run(program, packet, 0x0800), home);
      seen.insert(home);
    }
    EXPECT_EQ(seen.size(), queues);
  }
}

TEST(SteeringProgram, SendsAllElseToTheFirstQueue) {
  const std::vector<sock_filter> program = steering_program(64, {});
  const Bytes flow = ipv4(6, {});
  ASSERT_NE(run(program, flow, 0x0800), 0u);
  EXPECT_EQ(run(program, flow, 0x0806), 0u) << "ARP";
  EXPECT_EQ(run(program, flow, 0x86dd), 0u) << "IPv6";
  EXPECT_EQ(run(program, ipv4(1, {}), 0x0800), 0u) << "ICMP";
  EXPECT_EQ(run(program, ipv4(6, {}, 0, 0x2000), 0x0800), 0u) << "the first fragment";
  EXPECT_EQ(run(program, ipv4(6, {}, 0, 0x0010), 0x0800), 0u) << "another one";
  EXPECT_EQ(run(program, ipv4(6, {}, 0, 0x4000), 0x0800), run(program, flow, 0x0800)) << "DF is no fragment";
  EXPECT_EQ(run(program, Bytes(flow.begin(), flow.begin() + 21), 0x0800), 0u) << "too short";
}

TEST(SteeringProgram, KnowsWhereTheSocketsOfQueuesAreThatJoinedInAnyOrder) {
  constexpr std::uint32_t kQueues = 64;
  std::vector<std::uint32_t> members(kQueues);
  std::iota(members.begin(), members.end(), 0);
  EXPECT_TRUE(in_order(members));
  std::shuffle(members.begin(), members.end(), std::mt19937(3));
  EXPECT_FALSE(in_order(members));
  const std::vector<sock_filter> program = steering_program(kQueues, members);
  Random random(4);
  for (int i = 0; i < 2000; ++i) {
    const Bytes packet = ipv4(6, {random.word(), random.word(), random.port(), random.port()});
    ASSERT_EQ(members[run(program, packet, 0x0800)], FrameHome::of_packet(packet, {kQueues}));
  }
  EXPECT_EQ(members[run(program, ipv4(1, {}), 0x0800)], 0u) << "ICMP";
}

TEST(SteeringProgram, AnotherQueueHasWhatBelongsToOneThatHasNotJoined) {
  const std::vector<std::uint32_t> members{2, 3};
  const std::vector<sock_filter> program = steering_program(4, members);
  Random random(5);
  for (int i = 0; i < 200; ++i) {
    const Bytes packet = ipv4(6, {random.word(), random.word(), random.port(), random.port()});
    const std::uint32_t home = FrameHome::of_packet(packet, {4}), place = run(program, packet, 0x0800);
    ASSERT_EQ(place, home == 3 ? 1u : 0u);
  }
  EXPECT_EQ(run(program, ipv4(1, {}), 0x0800), 0u);
}

TEST(FrameHome, KnowsFlowsBehindTagsAndOptions) {
  const Flow flow;
  const FrameHome home = FrameHome::of(frame_of(ipv4(6, flow)), {61});
  EXPECT_EQ(home.queue, link::FlowHome::queue(flow.source, flow.source_port, flow.destination,
                                              flow.destination_port, 61));
  EXPECT_EQ(FrameHome::of(frame_of(ipv4(17, flow, 40), 0x0800, true), {61}).queue, home.queue);
}

TEST(FrameHome, AnIcmpErrorIsAtHomeWithWhatItQuotes) {
  const Bytes quoted = ipv4(17, {}, 8);
  EXPECT_EQ(FrameHome::of(frame_of(icmp_error(quoted)), {61}).queue, FrameHome::of_packet(quoted, {61}));
  EXPECT_NE(FrameHome::of_packet(quoted, {61}), 0u);
  Bytes echo = icmp_error(quoted);
  echo[20] = 8;
  EXPECT_EQ(FrameHome::of(frame_of(echo), {61}).queue, 0u);
  EXPECT_EQ(FrameHome::of(frame_of(icmp_error(ipv4(1, {}))), {61}).queue, 0u);
}

/// By a key that has another hash for each direction.
link::RssHash two_ways() {
  std::array<std::uint8_t, 16> key{};
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(37 * i + 11);
  std::vector<std::uint16_t> table(64);
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<std::uint16_t>(i);
  return {key, table};
}

TEST(FrameHome, IsWhereTheDeviceSendsAFlow) {
  const link::RssHash rss = two_ways();
  const FlowQueues queues{64, &rss};
  const Flow in, out{in.destination, in.source, in.destination_port, in.source_port};
  const std::uint32_t home = rss.queue(in.source, in.source_port, in.destination, in.destination_port);
  ASSERT_NE(home, rss.queue(out.source, out.source_port, out.destination, out.destination_port));
  EXPECT_EQ(FrameHome::of(frame_of(ipv4(6, in)), queues).queue, home);
  EXPECT_EQ(FrameHome::of(frame_of(icmp_error(ipv4(6, out))), queues).queue, home)
      << "about what was sent, where the answers to that come in";
  EXPECT_EQ(FrameHome::of(frame_of(ipv4(6, in, 0, 0x2000)), queues).queue, 0u);
}

TEST(FrameHome, FragmentsAndStrangersAreAtHomeInTheFirst) {
  EXPECT_EQ(FrameHome::of(frame_of(ipv4(17, {}, 0, 0x2000)), {61}).queue, 0u);
  EXPECT_EQ(FrameHome::of(frame_of(ipv4(6, {}), 0x86dd), {61}).queue, 0u);
  EXPECT_EQ(FrameHome::of(Bytes(3), {61}).queue, 0u);
  EXPECT_TRUE(FrameHome::of(frame_of(Bytes(28), 0x0806), {61}).everybody);
}

TEST(FrameHome, NoCutFrameIsReadBeyondItsEnd) {
  const Bytes whole = frame_of(icmp_error(ipv4(17, {}, 8)), 0x0800, true);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_LT(FrameHome::of(cut, {61}).queue, 61u);
  }
}

Mailbox::Letter letter(std::uint32_t length, std::uint8_t fill) {
  Mailbox::Letter made;
  made.length = length;
  made.bytes = std::make_unique<std::uint8_t[]>(length);
  std::fill_n(made.bytes.get(), length, fill);
  return made;
}

class MailboxTest : public testing::Test {
 protected:
  std::size_t take(std::size_t budget = 10000) {
    return mailbox_.take(pool_, out_, budget, Instant{}, lost_);
  }

  PacketPool pool_{PacketPool::Limits{}};
  Mailbox mailbox_;
  PacketQueue out_;
  std::uint64_t lost_ = 0;
};

TEST_F(MailboxTest, DeliversInOrder) {
  for (std::uint8_t i = 0; i < 5; ++i) EXPECT_TRUE(mailbox_.post(letter(60u + i, i)));
  EXPECT_EQ(take(3), 3u);
  EXPECT_EQ(take(), 2u);
  EXPECT_EQ(take(), 0u);
  for (std::uint8_t i = 0; i < 5; ++i) {
    const PacketPtr packet = out_.pop_front();
    EXPECT_EQ(packet->length(), 60u + i);
    EXPECT_EQ(packet->data()[59], i);
  }
}

TEST_F(MailboxTest, IsBounded) {
  std::size_t posted = 0;
  while (mailbox_.post(letter(60, 0))) ASSERT_LE(++posted, Mailbox::kFrames);
  EXPECT_EQ(posted, Mailbox::kFrames);
  take();
  out_.clear();
  posted = 0;
  while (mailbox_.post(letter(60000, 0))) ++posted;
  EXPECT_EQ(posted, Mailbox::kBytes / 60000);
}

TEST_F(MailboxTest, RingsOnceAfterItWasArmed) {
  const auto rung = [this] {
    std::uint64_t count = 0;
    return ::read(mailbox_.fd(), &count, sizeof count) == sizeof count ? count : 0;
  };
  mailbox_.post(letter(60, 0));
  EXPECT_EQ(rung(), 0u) << "nobody sleeps";
  EXPECT_TRUE(mailbox_.arm()) << "something is here already";
  take();
  EXPECT_FALSE(mailbox_.arm());
  mailbox_.post(letter(60, 0));
  mailbox_.post(letter(60, 0));
  EXPECT_EQ(rung(), 1u);
}

TEST_F(MailboxTest, TakesFromManyThreads) {
  constexpr int kThreads = 4, kLetters = 400;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < kLetters; ++i) EXPECT_TRUE(mailbox_.post(letter(64, 1)));
    });
  }
  std::size_t taken = 0;
  while (taken < kThreads * kLetters) {
    taken += take();
    out_.clear();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(take(), 0u);
}

/// Two queues of one end of a wire, and the other end, whose queues are crossed: all comes in by the wrong
/// one.
class Crossed : public testing::Test {
 protected:
  void SetUp() override {
    static int count = 0;
    const std::string name = "pipe:queues-test-" + std::to_string(count++);
    OpenQueuesResult opened = open_queues(name, 2);
    ASSERT_TRUE(opened.ok()) << opened.error;
    queues_ = std::move(opened.queues);
    peer_.push_back(open_device(name + "/1").device);
    peer_.push_back(open_device(name).device);
  }
  void TearDown() override {
    for (auto* devices : {&queues_, &peer_}) {
      for (auto& device : *devices) device->release_packets();
    }
  }
  void send(std::size_t queue, const Bytes& frame) {
    PacketPtr packet = pool_.allocate(static_cast<std::uint32_t>(frame.size()));
    std::copy(frame.begin(), frame.end(), packet->put(static_cast<std::uint32_t>(frame.size())));
    PacketQueue out;
    out.push_back(std::move(packet));
    ASSERT_EQ(peer_[queue]->tx_burst(out, Instant{}), 1u);
  }
  std::size_t receive(std::size_t queue) {
    PacketQueue in;
    queues_[queue]->rx_burst(pool_, in, 64, Instant{});
    return in.size();
  }

  PacketPool pool_{PacketPool::Limits{}};
  std::vector<std::unique_ptr<NetDevice>> queues_, peer_;
};

TEST_F(Crossed, AFrameComesUpWhereItIsAtHome) {
  Flow flow;
  const Bytes frame = frame_of(ipv4(6, flow));
  const std::uint32_t home =
      queues_[0]->queue_for(flow.destination, flow.destination_port, flow.source, flow.source_port);
  send(home, frame);  // which comes in by the other queue
  EXPECT_EQ(receive(home), 0u);
  EXPECT_FALSE(queues_[home]->arm());
  EXPECT_EQ(receive(1 - home), 0u);
  EXPECT_TRUE(queues_[home]->arm());
  EXPECT_EQ(receive(home), 1u);
}

TEST_F(Crossed, ArpComesUpEverywhere) {
  send(0, frame_of(Bytes(28), 0x0806));
  EXPECT_EQ(receive(1), 1u);
  EXPECT_EQ(receive(0), 1u);
}

TEST(OpenQueues, SaysWhatHasOne) {
  EXPECT_THAT(open_queues("pcap:in=x", 2).error, testing::HasSubstr("has one queue, not 2"));
  DeviceOptions options;
  options.capture.file = "/nowhere/x";
  EXPECT_THAT(open_queues("pipe:open-queues-test", 2, options).error, testing::HasSubstr("capture"));
}

/// Hears what became of its frames.
class Listening final : public DecoratorDevice {
 public:
  Listening(std::unique_ptr<NetDevice> inner, std::vector<std::string>& fates)
      : DecoratorDevice(std::move(inner)), fates_(fates) {}
  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override {
    return inner().rx_burst(pool, out, budget, now);
  }
  std::size_t tx_burst(PacketQueue& packets, Instant now) override { return inner().tx_burst(packets, now); }
  [[nodiscard]] bool wants_fates() const override { return true; }
  void frame_done(std::string_view counters) override { fates_.emplace_back(counters); }

 private:
  std::vector<std::string>& fates_;
};

/// Says that it picks queues by itself.
class Hashing final : public DecoratorDevice {
 public:
  Hashing(std::unique_ptr<NetDevice> inner, const link::RssHash& rss)
      : DecoratorDevice(std::move(inner)), rss_(rss) {}
  std::size_t rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) override {
    return inner().rx_burst(pool, out, budget, now);
  }
  std::size_t tx_burst(PacketQueue& packets, Instant now) override { return inner().tx_burst(packets, now); }
  [[nodiscard]] const link::RssHash* rss() const override { return &rss_; }

 private:
  const link::RssHash& rss_;
};

TEST(SteeredDevice, AnswersComeInWhereTheDeviceSendsThem) {
  const link::RssHash rss = two_ways();
  std::vector<std::unique_ptr<NetDevice>> queues;
  for (int i = 0; i < 64; ++i) {
    const std::string wire = "pipe:queues-rss-" + std::to_string(i);
    queues.push_back(std::make_unique<Hashing>(open_device(wire).device, rss));
  }
  queues = steer(std::move(queues));
  const Flow in;
  EXPECT_EQ(queues[0]->queue_for(in.destination, in.destination_port, in.source, in.source_port),
            rss.queue(in.source, in.source_port, in.destination, in.destination_port));
}

TEST(SteeredDevice, AQueueHearsOfTheFramesThatCameInByIt) {
  std::vector<std::string> fates[2];
  std::vector<std::unique_ptr<NetDevice>> queues, peers;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string wire = "pipe:queues-fates-" + std::to_string(i);
    queues.push_back(std::make_unique<Listening>(open_device(wire).device, fates[i]));
    peers.push_back(open_device(wire).device);
  }
  queues = steer(std::move(queues));
  PacketPool pool{PacketPool::Limits{}};
  Flow flow;
  const Bytes frame = frame_of(ipv4(6, flow));
  const std::uint32_t home =
      queues[0]->queue_for(flow.destination, flow.destination_port, flow.source, flow.source_port);
  const std::uint32_t other = 1 - home;
  const auto send = [&](std::size_t queue, const Bytes& bytes) {
    PacketQueue out;
    PacketPtr packet = pool.allocate(static_cast<std::uint32_t>(bytes.size()));
    std::copy(bytes.begin(), bytes.end(), packet->put(static_cast<std::uint32_t>(bytes.size())));
    out.push_back(std::move(packet));
    ASSERT_EQ(peers[queue]->tx_burst(out, Instant{}), 1u);
  };
  const auto receive = [&](std::size_t queue) {
    PacketQueue in;
    queues[queue]->rx_burst(pool, in, 64, Instant{});
    return in.size();
  };
  // In the other one: a stranger, ARP for everybody, a stranger. At home, then: one of its own before these.
  send(other, frame);
  send(other, frame_of(Bytes(28), 0x0806));
  send(other, frame);
  ASSERT_EQ(receive(other), 1u);
  queues[other]->frame_done("ArpIgnored");
  EXPECT_EQ(fates[other], (std::vector<std::string>{"", "ArpIgnored"}));
  send(home, frame);
  ASSERT_EQ(receive(home), 4u);
  for (const char* counters : {"mine", "first", "arp", "second"}) queues[home]->frame_done(counters);
  EXPECT_EQ(fates[home], (std::vector<std::string>{"mine"}));
  for (auto* devices : {&queues, &peers}) {
    for (auto& device : *devices) device->release_packets();
  }
}

}  // namespace
}  // namespace millrace::drivers::test
