// The dpdk: driver on devices that need nothing outside of this process: what is sent to net_ring0 comes
// back, net_pcap replays and records files.
#include <gmock/gmock.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "base/byte_order.h"
#include "dpdk_fixture.h"
#include "frames.h"

namespace millrace::drivers {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const MacAddress kHere{{2, 0, 0, 0, 0, 1}};
const MacAddress kThere{{2, 0, 0, 0, 0, 2}};

Bytes numbered_frame(std::uint8_t number, std::size_t length = 200) {
  return raw_frame(length, number, kThere, kHere);
}

std::string error_of(std::string_view spec) {
  const OpenResult result = open_device(spec);
  EXPECT_FALSE(result.ok()) << spec;
  EXPECT_THAT(result.error, AllOf(Not(""), Not(HasSubstr("\n")))) << spec;
  return result.error;
}

/// A file that is gone at the end.
class TemporaryFile {
 public:
  TemporaryFile() {
    const int fd = mkstemps(name_.data(), 5);
    if (fd >= 0) close(fd);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { unlink(name_.c_str()); }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_ = "/tmp/millrace-dpdk-XXXXXX.pcap";
};

void write_pcap(const std::string& file, const std::vector<Bytes>& frames) {
  pcap_t* format = pcap_open_dead(DLT_EN10MB, 65535);
  pcap_dumper_t* dumper = pcap_dump_open(format, file.c_str());
  ASSERT_NE(dumper, nullptr);
  for (const Bytes& frame : frames) {
    pcap_pkthdr header{};
    header.caplen = header.len = static_cast<bpf_u_int32>(frame.size());
    pcap_dump(reinterpret_cast<u_char*>(dumper), &header, frame.data());
  }
  pcap_dump_close(dumper);
  pcap_close(format);
}

std::vector<Bytes> read_pcap(const std::string& file) {
  char error[PCAP_ERRBUF_SIZE];
  pcap_t* capture = pcap_open_offline(file.c_str(), error);
  EXPECT_NE(capture, nullptr) << error;
  std::vector<Bytes> frames;
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  while (capture != nullptr && pcap_next_ex(capture, &header, &data) == 1)
    frames.emplace_back(data, data + header->caplen);
  if (capture != nullptr) pcap_close(capture);
  return frames;
}

TEST_F(DpdkTest, SaysWhatIsWrongWithASpec) {
  EXPECT_THAT(error_of("dpdk(rings=7):net_null0"),
              AllOf(HasSubstr("unknown option \"rings\""), HasSubstr("rx_slots")));
  EXPECT_THAT(error_of("dpdk(rx_slots=1):net_null0"), HasSubstr("must be a whole number from 64"));
  EXPECT_THAT(error_of("dpdk:net_nonesuch0"), HasSubstr("device \"net_nonesuch0\" cannot be opened"));
  EXPECT_THAT(error_of("dpdk:net_virtio_user7,path=/nonexistent/socket"), HasSubstr("cannot be opened"));
}

TEST_F(DpdkTest, SaysThatPciDevicesComeBeforeVirtualOnes) {
  const auto device = open("dpdk:net_null0");
  EXPECT_THAT(error_of("dpdk:0000:ff:1f.7"), HasSubstr("PCI devices must be opened before virtual ones"));
}

TEST_F(DpdkTest, OpensADeviceOnceAtATimeAndAgainLater) {
  auto device = open("dpdk:net_null0");
  EXPECT_THAT(error_of("dpdk:net_null0"), HasSubstr("is open already"));
  device.reset();
  EXPECT_NE(open("dpdk:net_null0"), nullptr);
}

TEST_F(DpdkTest, HasTheAddressAndMtuAskedFor) {
  const auto device = open("dpdk(mac=02:00:00:00:00:07,mtu=1400):net_ring0");
  ASSERT_NE(device, nullptr);
  EXPECT_EQ(device->mac(), (MacAddress{{2, 0, 0, 0, 0, 7}}));
  EXPECT_EQ(device->mtu(), 1400u);
  EXPECT_EQ(device->name(), "dpdk:net_ring0");
}

TEST_F(DpdkTest, SendsAndReceivesFramesUnchangedAndInOrder) {
  const auto device = open("dpdk:net_ring0");
  ASSERT_NE(device, nullptr);
  PacketPool pool;
  PacketQueue out, in;
  for (std::uint8_t i = 0; i < 100; ++i) out.push_back(to_packet(pool, numbered_frame(i, 60 + 14u * i)));
  EXPECT_EQ(device->tx_burst(out, kStart), 100u);
  EXPECT_EQ(device->rx_burst(pool, in, 30, kStart), 30u);
  EXPECT_EQ(device->rx_burst(pool, in, 1000, kStart), 70u);
  for (std::uint8_t i = 0; i < 100; ++i)
    EXPECT_EQ(bytes_of(*in.pop_front()), numbered_frame(i, 60 + 14u * i));
  EXPECT_EQ(device->rx_burst(pool, in, 1000, kStart), 0u);
  EXPECT_EQ(device->stats().tx_packets, 100u);
  EXPECT_EQ(device->stats().rx_packets, 100u);
  EXPECT_EQ(device->stats().tx_bytes, device->stats().rx_bytes);
}

/// A frame whose payload lies in one Buffer of the pool's.
PacketPtr frame_with_fragment(PacketPool& pool, std::uint32_t length) {
  PacketPtr packet = to_packet(pool, numbered_frame(1, 64));
  BufferRef buffer = pool.allocate_buffer(length);
  const Bytes payload = pattern(length, 7);
  std::copy(payload.begin(), payload.end(), buffer->bytes());
  EXPECT_TRUE(packet->append_fragment(std::move(buffer), 0, length));
  return packet;
}

TEST_F(DpdkTest, AttachesPayloadInItsMemoryAndLetsGoOfItOnceItIsSent) {
  const auto device = open("dpdk:net_ring0");
  ASSERT_NE(device, nullptr);
  PacketPool pool;
  ASSERT_NE(device->slab_source(), nullptr);
  pool.take_slabs_from(*device->slab_source());
  PacketQueue out, in;
  out.push_back(frame_with_fragment(pool, 1400));
  EXPECT_TRUE(out.front().fragments()[0].buffer->in_device_memory());
  const Bytes sent = bytes_of(out.front());
  EXPECT_EQ(device->tx_burst(out, kStart), 1u);
  EXPECT_EQ(counter(*device, "TxBytesAttached"), 1400u);
  EXPECT_EQ(counter(*device, "TxBytesCopied"), 0u);
  // In the ring now, and the packet is gone: the mbuf holds the share.
  EXPECT_EQ(pool.packets_in_use(), 0u);
  EXPECT_EQ(pool.buffers_in_use(), 1u);
  EXPECT_EQ(device->rx_burst(pool, in, 10, kStart), 1u);
  EXPECT_EQ(bytes_of(in.front()), sent);
  in.clear();
  EXPECT_EQ(pool.buffers_in_use(), 0u);
  device->release_packets();
}

TEST_F(DpdkTest, CopiesPayloadInOtherMemoryAndSmallPieces) {
  const auto device = open("dpdk:net_ring0");
  ASSERT_NE(device, nullptr);
  PacketPool heap, own;
  own.take_slabs_from(*device->slab_source());
  PacketQueue out, in;
  out.push_back(frame_with_fragment(heap, 5000));
  out.push_back(frame_with_fragment(own, 100));
  const Bytes first = bytes_of(out.front()), second = bytes_of(out.back());
  EXPECT_EQ(device->tx_burst(out, kStart), 2u);
  EXPECT_EQ(counter(*device, "TxBytesAttached"), 0u);
  EXPECT_EQ(counter(*device, "TxBytesCopied"), 5100u);
  EXPECT_EQ(heap.buffers_in_use() + own.buffers_in_use(), 0u);
  EXPECT_EQ(device->rx_burst(heap, in, 10, kStart), 2u);
  EXPECT_EQ(bytes_of(*in.pop_front()), first);
  EXPECT_EQ(bytes_of(*in.pop_front()), second);
}

TEST_F(DpdkTest, GivesBackWhatTheDeviceStillHolds) {
  // A ring keeps its frames when it is closed: nobody else is to find them.
  const auto device = open("dpdk:net_ring_own");
  ASSERT_NE(device, nullptr);
  PacketPool pool;
  pool.take_slabs_from(*device->slab_source());
  PacketQueue out;
  out.push_back(frame_with_fragment(pool, 1400));
  EXPECT_EQ(device->tx_burst(out, kStart), 1u);
  EXPECT_EQ(pool.buffers_in_use(), 1u);
  device->release_packets();
  EXPECT_EQ(pool.buffers_in_use(), 0u);
}

TEST_F(DpdkTest, IsFullWhenTheRingIsAndTakesTheRestLater) {
  const auto device = open("dpdk:net_ring0");
  ASSERT_NE(device, nullptr);
  PacketPool pool;
  PacketQueue out, in;
  constexpr std::size_t kFrames = 3000;
  for (std::size_t i = 0; i < kFrames; ++i)
    out.push_back(to_packet(pool, numbered_frame(static_cast<std::uint8_t>(i))));
  std::size_t taken = device->tx_burst(out, kStart);
  EXPECT_LT(taken, kFrames);
  EXPECT_EQ(out.size(), kFrames - taken);
  EXPECT_TRUE(device->tx_full());
  EXPECT_EQ(device->max_sleep(kStart), 50us);
  EXPECT_EQ(device->max_sleep(kStart + 1ms), 125us);
  EXPECT_EQ(device->max_sleep(kStart + 10s), 4ms);
  EXPECT_EQ(device->stats().tx_full, 1u);
  std::size_t received = 0;
  while (taken < kFrames) {
    received += device->rx_burst(pool, in, 1000, kStart);
    const std::size_t more = device->tx_burst(out, kStart);
    ASSERT_NE(more, 0u);
    taken += more;
  }
  EXPECT_FALSE(device->tx_full());
  while (const std::size_t more = device->rx_burst(pool, in, 1000, kStart)) received += more;
  ASSERT_EQ(received, kFrames);
  for (std::size_t i = 0; i < kFrames; ++i)
    ASSERT_EQ(bytes_of(*in.pop_front()), numbered_frame(static_cast<std::uint8_t>(i))) << i;
}

TEST_F(DpdkTest, ReplaysAndRecordsCaptures) {
  const TemporaryFile input, output;
  std::vector<Bytes> frames;
  for (std::uint8_t i = 0; i < 200; ++i) frames.push_back(numbered_frame(i, 60 + 7u * i));
  write_pcap(input.name(), frames);
  {
    const auto device = open("dpdk:net_pcap0,rx_pcap=" + input.name() + ",tx_pcap=" + output.name());
    ASSERT_NE(device, nullptr);
    PacketPool pool;
    PacketQueue in;
    while (device->rx_burst(pool, in, 64, kStart) != 0) {
    }
    ASSERT_EQ(in.size(), frames.size());
    // Nothing is copied: the mbufs themselves are in the queue.
    EXPECT_EQ(counter(*device, "RxMbufsLent"), frames.size());
    EXPECT_EQ(pool.buffers_in_use(), 0u);
    std::size_t at = 0;
    for (const Packet& packet : in) EXPECT_EQ(bytes_of(packet), frames[at++]);
    EXPECT_EQ(device->tx_burst(in, kStart), frames.size());
    EXPECT_EQ(counter(*device, "RxMbufsLent"), 0u);
  }
  EXPECT_EQ(read_pcap(output.name()), frames);
}

TEST_F(DpdkTest, TakesFramesApartThatNeedSeveralMbufs) {
  const TemporaryFile input;
  write_pcap(input.name(), {numbered_frame(3, 9000)});
  const auto device = open("dpdk(mtu=9000):net_pcap0,rx_pcap=" + input.name());
  ASSERT_NE(device, nullptr);
  PacketPool pool;
  PacketQueue in;
  ASSERT_EQ(device->rx_burst(pool, in, 64, kStart), 1u);
  EXPECT_EQ(bytes_of(in.front()), numbered_frame(3, 9000));
}

TEST_F(DpdkTest, CopiesOutWhenSocketsHoldTooManyMbufsAndLendsAgainAfterwards) {
  const TemporaryFile input;
  std::vector<Bytes> frames;
  for (std::uint8_t i = 0; i < 100; ++i) frames.push_back(numbered_frame(i, 1000));
  write_pcap(input.name(), frames);
  const auto device = open("dpdk(pool=30):net_pcap0,infinite_rx=1,rx_pcap=" + input.name());
  ASSERT_NE(device, nullptr);
  PacketPool pool;
  PacketQueue held;
  ASSERT_EQ(device->rx_burst(pool, held, 100, kStart), 100u);
  // Of infinite_rx the device keeps the frames in mbufs of ours and hands out copies in others.
  EXPECT_EQ(counter(*device, "RxMbufsLent"), 30u);
  EXPECT_EQ(counter(*device, "RxCopiedOut"), 70u);
  EXPECT_EQ(pool.buffers_in_use(), 70u);
  for (const Bytes& frame : frames) EXPECT_EQ(bytes_of(*held.pop_front()), frame);
  EXPECT_EQ(counter(*device, "RxMbufsLent"), 0u);
  ASSERT_EQ(device->rx_burst(pool, held, 20, kStart), 20u);
  EXPECT_EQ(counter(*device, "RxMbufsLent"), 20u);
  EXPECT_EQ(counter(*device, "RxCopiedOut"), 70u);
}

TEST_F(DpdkTest, CountsWhatItDropsForWantOfMemoryAndRecovers) {
  const TemporaryFile input;
  std::vector<Bytes> frames;
  for (std::uint8_t i = 0; i < 100; ++i) frames.push_back(numbered_frame(i, 1000));
  write_pcap(input.name(), frames);
  const auto device = open("dpdk(pool=0):net_pcap0,infinite_rx=1,rx_pcap=" + input.name());
  ASSERT_NE(device, nullptr);
  PacketPool::Limits limits;
  limits.bytes = 16 * 2048;
  PacketPool pool(limits);
  PacketQueue held;
  EXPECT_EQ(device->rx_burst(pool, held, 10, kStart), 10u);
  EXPECT_EQ(device->rx_burst(pool, held, 6, kStart), 6u);
  EXPECT_EQ(device->rx_burst(pool, held, 5, kStart), 0u);
  EXPECT_EQ(device->stats().rx_no_memory, 5u);
  held.clear();
  EXPECT_EQ(device->rx_burst(pool, held, 16, kStart), 16u);
}

TEST_F(DpdkTest, SleepsBrieflyWhereNoDescriptorTellsOfFrames) {
  const auto device = open("dpdk:net_ring0");
  ASSERT_NE(device, nullptr);
  PacketPool pool;
  PacketQueue out, in;
  EXPECT_FALSE(device->caps().can_sleep);
  EXPECT_FALSE(device->arm());
  EXPECT_EQ(device->wait_fds().size(), 1u);
  out.push_back(to_packet(pool, numbered_frame(1)));
  EXPECT_EQ(device->tx_burst(out, kStart), 1u);
  // What came between the last poll and the sleep is seen, and not lost.
  EXPECT_TRUE(device->arm());
  EXPECT_TRUE(device->arm());
  EXPECT_EQ(device->rx_burst(pool, in, 10, kStart), 1u);
  EXPECT_EQ(device->max_sleep(kStart), 20us);
  EXPECT_EQ(device->max_sleep(kStart + 100ms), 1ms);
  EXPECT_EQ(device->max_sleep(kStart + 512ms), 2ms);
  EXPECT_EQ(device->max_sleep(kStart + 10s), 4ms);
}

// --- several queues

/// Of net_ring: what a queue sends comes back to it.
class DpdkQueues : public DpdkTest {
 protected:
  static constexpr std::uint32_t kQueues = 3;

  [[nodiscard]] static std::vector<std::unique_ptr<NetDevice>> open_all(std::string_view spec) {
    OpenQueuesResult opened = open_queues(spec, kQueues);
    EXPECT_TRUE(opened.ok()) << opened.error;
    return std::move(opened.queues);
  }
  /// A datagram from this port, with its number behind the headers.
  [[nodiscard]] static Bytes datagram(std::uint16_t port) {
    Bytes frame = numbered_frame(0, 64);
    constexpr std::size_t kIp = 14, kPorts = kIp + 20;
    store_be16(&frame[12], 0x0800);
    frame[kIp] = 0x45;
    store_be16(&frame[kIp + 6], 0);
    frame[kIp + 9] = 17;
    store_be32(&frame[kIp + 12], kAddress);
    store_be32(&frame[kIp + 16], kAddress + 1);
    store_be16(&frame[kPorts], port);
    store_be16(&frame[kPorts + 2], 7);
    return frame;
  }
  /// In which queue the answers to a datagram from this port are at home.
  [[nodiscard]] static std::uint32_t home_of(const NetDevice& queue, std::uint16_t port) {
    return queue.queue_for(kAddress + 1, 7, kAddress, port);
  }

  static constexpr std::uint32_t kAddress = 0xc6120001;
};

TEST_F(DpdkQueues, AFrameComesUpInItsQueueWhicheverItCameInBy) {
  const auto queues = open_all("dpdk:net_ring0");
  ASSERT_EQ(queues.size(), kQueues);
  PacketPool pool;
  PacketQueue out, in;
  constexpr std::uint16_t kFirst = 1000, kPorts = 60;
  for (std::uint16_t port = kFirst; port < kFirst + kPorts; ++port)
    out.push_back(to_packet(pool, datagram(port)));
  EXPECT_EQ(queues[1]->tx_burst(out, kStart), kPorts);
  std::size_t homes[kQueues] = {};
  // The second hands over what it finds.
  for (const std::uint32_t index : {1u, 0u, 2u}) {
    queues[index]->rx_burst(pool, in, 1000, kStart);
    while (const PacketPtr packet = in.pop_front()) {
      const std::uint16_t port = load_be16(packet->data() + 34);
      EXPECT_EQ(home_of(*queues[0], port), index) << port;
      EXPECT_EQ(bytes_of(*packet), datagram(port));
      ++homes[index];
    }
    EXPECT_GT(homes[index], kPorts / kQueues / 2);
  }
  EXPECT_EQ(homes[0] + homes[1] + homes[2], kPorts);
  EXPECT_EQ(counter(*queues[1], "HandedOver"), kPorts - homes[1]);
  EXPECT_EQ(queues[1]->stats().rx_packets, kPorts);
  EXPECT_EQ(queues[0]->stats().rx_packets, 0u);
}

TEST_F(DpdkQueues, TheDevicesOwnCountersComeOnce) {
  const auto queues = open_all("dpdk:net_ring0");
  const auto has = [&](std::size_t index, std::string_view name) {
    const auto all = queues[index]->extended_stats();
    return std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.first == name; });
  };
  for (const char* of_port : {"rx_good_packets", "PortReopened"}) {
    EXPECT_TRUE(has(0, of_port)) << of_port;
    EXPECT_FALSE(has(1, of_port)) << of_port;
  }
  EXPECT_TRUE(has(1, "RxMbufsLent"));
}

TEST_F(DpdkQueues, AreRefusedWhereTheDeviceHasFewer) {
  const TemporaryFile input;
  write_pcap(input.name(), {});
  const OpenQueuesResult opened = open_queues("dpdk:net_pcap0,rx_pcap=" + input.name(), kQueues);
  EXPECT_EQ(opened.error, "dpdk: device net_pcap0 has 1 queue, not 3");
  EXPECT_NE(open("dpdk:net_pcap0,rx_pcap=" + input.name()), nullptr) << "and it is free again";
}

TEST_F(DpdkQueues, BelongToOneDeviceThatIsOpenOnce) {
  auto queues = open_all("dpdk:net_ring0");
  EXPECT_THAT(error_of("dpdk:net_ring0"), HasSubstr("is open already"));
  queues.erase(queues.begin());
  EXPECT_THAT(error_of("dpdk:net_ring0"), HasSubstr("is open already")) << "others use it";
  queues.clear();
  EXPECT_NE(open("dpdk:net_ring0"), nullptr);
}

TEST_F(DpdkQueues, EachHasADescriptorOfItsOwnForTheLink) {
  const auto queues = open_all("dpdk:net_ring0");
  std::set<int> descriptors;
  for (const auto& queue : queues) descriptors.insert(queue->wait_fds().front().fd);
  EXPECT_EQ(descriptors.size(), kQueues);
}

TEST_F(DpdkQueues, OneGivesBackWhatTheDeviceHoldsWhileOthersBurst) {
  const auto queues = open_all("dpdk:net_ring_own");
  std::atomic<bool> stop{false};
  std::thread other([&] {
    PacketPool pool;
    while (!stop) {
      PacketQueue out, in;
      out.push_back(to_packet(pool, datagram(1000)));
      (void)queues[1]->tx_burst(out, kStart);
      (void)queues[1]->rx_burst(pool, in, 64, kStart);
      (void)queues[1]->arm();
      (void)queues[1]->wait_fds();
      (void)queues[1]->take_event();
    }
    queues[1]->release_packets();
    EXPECT_EQ(pool.buffers_in_use(), 0u);
  });
  PacketPool pool;
  pool.take_slabs_from(*queues[0]->slab_source());
  for (std::uint64_t reopened = 0; reopened < 3;) {
    PacketQueue out;
    out.push_back(frame_with_fragment(pool, 1400));
    (void)queues[0]->tx_burst(out, kStart);
    out.clear();
    queues[0]->release_packets();
    EXPECT_EQ(pool.buffers_in_use(), 0u);
    const std::uint64_t before = reopened;
    while (reopened == before && !testing::Test::HasFailure()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      reopened = counter(*queues[0], "PortReopened");
    }
  }
  stop = true;
  other.join();
}

}  // namespace
}  // namespace millrace::drivers
