#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "capture/pcapng_writer.h"
#include "frames.h"
#include "open_device.h"
#include "pcap/pcap_device.h"
#include "pcapng_reader.h"
#include "stack.h"
#include "temporary_directory.h"
#include "wire/tcp.h"

namespace millrace::drivers {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

constexpr std::uint64_t kRecorded = 1'600'000'000'123'456'789;

using Frames = std::vector<Bytes>;

class Pcap : public testing::Test {
 protected:
  struct Recorded {
    Bytes bytes;
    std::uint64_t time = kRecorded;
    std::uint32_t length = 0;  ///< 0: that of bytes
  };

  /// Written by libpcap: the classic format, in nanoseconds.
  void write_pcap(const std::vector<Recorded>& frames, int link_type = DLT_EN10MB) {
    pcap_t* dead = pcap_open_dead_with_tstamp_precision(link_type, 262144, PCAP_TSTAMP_PRECISION_NANO);
    pcap_dumper_t* file = pcap_dump_open(dead, in_.c_str());
    ASSERT_NE(file, nullptr);
    for (const Recorded& frame : frames) {
      pcap_pkthdr header{};
      header.ts.tv_sec = static_cast<time_t>(frame.time / 1'000'000'000);
      header.ts.tv_usec = static_cast<suseconds_t>(frame.time % 1'000'000'000);
      header.caplen = static_cast<bpf_u_int32>(frame.bytes.size());
      header.len = frame.length != 0 ? frame.length : header.caplen;
      pcap_dump(reinterpret_cast<u_char*>(file), &header, frame.bytes.data());
    }
    pcap_dump_close(file);
    pcap_close(dead);
  }
  std::unique_ptr<NetDevice> open(const std::string& options = "") {
    OpenResult result = open_device("pcap(delay=0):in=" + in_ + options);
    EXPECT_TRUE(result.ok()) << result.error;
    return std::move(result.device);
  }
  std::string error_of(const std::string& spec) {
    const OpenResult result = open_device(spec);
    EXPECT_FALSE(result.ok());
    EXPECT_THAT(result.error, AllOf(Not(""), Not(HasSubstr("\n"))));
    return result.error;
  }
  std::vector<Bytes> receive(NetDevice& device, std::size_t budget = 64) {
    PacketQueue in;
    const std::size_t received = device.rx_burst(pool_, in, budget, now_);
    EXPECT_EQ(received, in.size());
    std::vector<Bytes> frames;
    while (const PacketPtr packet = in.pop_front()) {
      EXPECT_EQ(packet->timestamp, now_);
      frames.push_back(bytes_of(*packet));
    }
    return frames;
  }
  static Bytes frame(std::uint8_t seed, std::size_t length = 60) {
    return raw_frame(length, seed, MacAddress{{2, 0, 0, 0, 0, 2}}, MacAddress{{2, 0, 0, 0, 0, 1}});
  }

  TemporaryDirectory directory_;
  std::string in_ = directory_.path() + "/in.pcap";
  std::string out_ = directory_.path() + "/out.pcapng";
  PacketPool pool_;
  Instant now_ = kEpoch + 1000s;
};

TEST_F(Pcap, ReplaysTheFramesInOrderAsTheyAreTaken) {
  write_pcap({{frame(1)}, {frame(2, 1514), kRecorded + 5'000'000'000}, {frame(3, 60'000)}});
  const auto device = open();
  EXPECT_EQ(device->name(), "pcap(delay=0):in=" + in_);
  EXPECT_TRUE(device->arm()) << "there is something: do not sleep";
  EXPECT_EQ(receive(*device, 2), (Frames{frame(1), frame(2, 1514)}));
  EXPECT_EQ(device->max_sleep(now_), Duration::zero());
  EXPECT_EQ(receive(*device), (Frames{frame(3, 60'000)}));
  EXPECT_TRUE(receive(*device).empty());
  EXPECT_FALSE(device->arm());
  EXPECT_EQ(device->max_sleep(now_), Duration::max());
  EXPECT_EQ(device->stats().rx_packets, 3u);
  EXPECT_EQ(device->stats().rx_bytes, 61'574u);
}

TEST_F(Pcap, ReplaysWithTheTimingOfTheRecording) {
  write_pcap({{frame(1)},
              {frame(2), kRecorded + 1'500},
              {frame(3), kRecorded + 1'000},
              {frame(4), kRecorded + 9'000'000}});
  const auto device = open(",timing=1");
  EXPECT_EQ(receive(*device), (Frames{frame(1)}));
  EXPECT_EQ(device->max_sleep(now_), 1500ns);
  now_ += 1499ns;
  EXPECT_TRUE(receive(*device).empty());
  now_ += 1ns;
  EXPECT_EQ(receive(*device), (Frames{frame(2), frame(3)})) << "recorded out of order: with the one before";
  EXPECT_EQ(device->max_sleep(now_), 9ms - 1500ns);
  now_ += 1s;
  EXPECT_EQ(receive(*device), (Frames{frame(4)}));
}

TEST_F(Pcap, LetsProgramsBeginToListen) {
  write_pcap({{frame(1)}, {frame(2), kRecorded + 1'000'000}});
  for (const std::string timing : {"on", "off"}) {
    OpenResult opened = open_device("pcap:in=" + in_ + ",timing=" + timing);
    ASSERT_TRUE(opened.ok()) << opened.error;
    NetDevice& device = *opened.device;
    EXPECT_TRUE(receive(device).empty());
    EXPECT_FALSE(device.arm());
    EXPECT_EQ(device.max_sleep(now_), 100ms);
    now_ += 99ms;
    EXPECT_TRUE(receive(device).empty());
    now_ += 1ms;
    EXPECT_EQ(receive(device, 1), Frames{frame(1)});
    EXPECT_EQ(device.max_sleep(now_), timing == "on" ? 1ms : 0ms);
    EXPECT_EQ(device.arm(), timing == "off");
  }
}

TEST_F(Pcap, ReplaysSeveralTimes) {
  write_pcap({{frame(1)}, {frame(2), kRecorded + 1'000'000}});
  const auto twice = open(",loop=2,timing=1");
  EXPECT_EQ(receive(*twice), (Frames{frame(1)}));
  now_ += 1ms;
  EXPECT_EQ(receive(*twice), (Frames{frame(2), frame(1)})) << "the next round begins where the last ends";
  EXPECT_EQ(twice->max_sleep(now_), 1ms);
  now_ += 1ms;
  EXPECT_EQ(receive(*twice), (Frames{frame(2)}));
  EXPECT_EQ(twice->max_sleep(now_), Duration::max());
  const auto endless = open(",loop=0");
  EXPECT_EQ(receive(*endless, 1001).size(), 1001u);
}

TEST_F(Pcap, LeavesOutAndCountsWhatWasCut) {
  write_pcap({{frame(1)}, {frame(2), kRecorded, 1000}, {frame(3)}});
  const auto device = open();
  EXPECT_EQ(receive(*device), (Frames{frame(1), frame(3)}));
  EXPECT_EQ(device->stats().rx_truncated, 1u);
}

TEST_F(Pcap, LeavesOutWhatTheAddressItselfHadSent) {
  const Bytes answer = raw_frame(60, 7, MacAddress{{2, 0, 0, 0, 0, 1}}, MacAddress{{2, 0, 0, 0, 0, 2}});
  write_pcap({{answer}, {frame(1)}, {answer}, {frame(2)}});
  const auto device = open(",mac=02:00:00:00:00:02");
  EXPECT_EQ(receive(*device), (Frames{frame(1), frame(2)}));
  EXPECT_EQ(device->stats().rx_truncated, 0u);
  write_pcap({{answer}});
  EXPECT_THAT(error_of("pcap:mac=02:00:00:00:00:02,in=" + in_), HasSubstr("no frame to replay"));
}

TEST_F(Pcap, ReplaysATruncatedFileUpToThereAndSaysSo) {
  write_pcap({{frame(1)}, {frame(2)}, {frame(3)}});
  std::filesystem::resize_file(in_, std::filesystem::file_size(in_) - 10);
  const auto device = open(",loop=3");
  testing::internal::CaptureStderr();
  EXPECT_EQ(receive(*device), (Frames{frame(1), frame(2)}));
  EXPECT_TRUE(receive(*device).empty());
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      MatchesRegex("millrace: pcap: " + in_ + ": truncated dump file[^\n]*; what follows is left out\n"));
  EXPECT_EQ(device->stats().rx_truncated, 1u);
  EXPECT_EQ(device->max_sleep(now_), Duration::max());
}

TEST_F(Pcap, ReadsPcapngToo) {
  PcapngWriter writer;
  ASSERT_EQ(writer.open({.path = in_, .interface = "x"}), "");
  const Bytes bytes = frame(7);
  writer.add({.time = kRecorded, .bytes = bytes, .length = 60, .comment = "dropped: nothing"});
  writer.flush();
  EXPECT_EQ(receive(*open()), (Frames{bytes}));
}

TEST_F(Pcap, SurvivesAnEmptyPool) {
  write_pcap({{frame(1)}, {frame(2)}});
  const auto device = open();
  PacketPool none(PacketPool::Limits{.bytes = 0, .reserve = 0});
  PacketQueue in;
  EXPECT_EQ(device->rx_burst(none, in, 8, now_), 0u);
  EXPECT_EQ(device->stats().rx_no_memory, 2u);
}

TEST_F(Pcap, SaysWhatIsWrongInOneLine) {
  EXPECT_THAT(error_of("pcap:in=/none/in.pcap"), HasSubstr("cannot read /none/in.pcap: No such file"));
  EXPECT_THAT(error_of("pcap:in=/proc/self/status"), HasSubstr("cannot read /proc/self/status"));
  EXPECT_THAT(error_of("pcap:out=/none/out"), HasSubstr("cannot write /none/out"));
  EXPECT_THAT(error_of("pcap:in=x,speed=1"), HasSubstr("unknown option \"speed\""));
  EXPECT_THAT(error_of("pcap:" + in_), HasSubstr("write pcap:in=FILE,out=FILE"));
  EXPECT_THAT(error_of("pcap:timing=on"), HasSubstr("neither in=FILE nor out=FILE"));
}

TEST_F(Pcap, SaysInOneLineWhatIsWrongWithAFile) {
  write_pcap({{Bytes(40)}}, DLT_RAW);
  EXPECT_THAT(error_of("pcap:in=" + in_), AllOf(HasSubstr("link type RAW"), HasSubstr("only Ethernet")));
  write_pcap({});
  EXPECT_THAT(error_of("pcap:loop=0,in=" + in_), HasSubstr(in_ + " holds no frame to replay"));
  write_pcap({{Bytes(60), kRecorded, 100}});
  EXPECT_THAT(error_of("pcap:in=" + in_), HasSubstr("no frame to replay: all were cut"));
  for (const std::uintmax_t size : {50u, 10u}) {  // in the first frame, in the file's header
    std::filesystem::resize_file(in_, size);
    EXPECT_THAT(error_of("pcap:in=" + in_), HasSubstr("truncated dump file"));
  }
  std::filesystem::resize_file(in_, 0);
  EXPECT_THAT(error_of("pcap:in=" + in_), HasSubstr("cannot read " + in_ + ": it is empty"));
}

TEST_F(Pcap, TheStackAnswersARecordedSyn) {
  FrameSpec syn;
  syn.flags = 0x02;
  syn.source_port = 4321;
  syn.destination_port = 80;
  // Who has 198.18.0.1? Tell 198.18.0.2.
  const Bytes arp{255, 255, 255, 255, 255, 255, 2, 0,   0,  0, 0, 1, 8, 6, 0, 1, 8, 0,   6,  4, 0,
                  1,   2,   0,   0,   0,   0,   1, 198, 18, 0, 2, 0, 0, 0, 0, 0, 0, 198, 18, 0, 1};
  write_pcap({{arp}, {make_frame(syn), kRecorded + 2'000'000}});
  const auto replay = [&](const std::string& out) {
    const auto device = open(",timing=1,mac=02:00:00:00:00:02,out=" + out);
    Instant now = kEpoch + 50s;
    Stack stack(StackConfig{}, Rng::Seed{1}, now);
    link::InterfaceConfig config;
    config.addresses = {IpPrefix{IpAddress::v4(198, 18, 0, 1), 24}};
    config.probe_addresses = false;
    stack.add_interface(*device, config, now);
    auto listener = stack.create_socket(SocketType::kStream);
    ASSERT_TRUE(listener);
    ASSERT_TRUE((*listener)->bind({IpAddress::v4(198, 18, 0, 1), 80}));
    ASSERT_TRUE((*listener)->listen(8, now));
    for (int i = 0; i < 10; ++i, now += 500us) stack.poll(now, 64);
    listener->reset();
  };
  replay(out_);
  const PcapngFile file(out_);
  ASSERT_TRUE(file.whole);
  ASSERT_EQ(file.frames.size(), 2u) << "the ARP reply, and the SYN-ACK";
  EXPECT_EQ(file.frames[0].time, kRecorded) << "on the clock of the recording";
  const auto& [time, length, bytes, flags, comment, lost] = file.frames[1];
  EXPECT_EQ(time, kRecorded + 2'000'000);
  EXPECT_EQ(flags, 2u);
  EXPECT_EQ(length, bytes.size());
  EXPECT_EQ(comment, "");
  EXPECT_EQ(lost, 0u);
  EXPECT_TRUE(transport_checksum_ok(bytes)) << "as on a wire";
  const auto tcp = wire::TcpHeader::parse(std::span(bytes).subspan(34));
  ASSERT_TRUE(tcp);
  EXPECT_EQ(std::tie(tcp->source_port, tcp->destination_port),
            (std::tuple<std::uint16_t, std::uint16_t>(80, 4321)));
  EXPECT_EQ(tcp->ack, syn.seq + 1);
  EXPECT_EQ(bytes[47], 0x12) << "SYN and ACK";
  // The same again: the same file.
  const std::string again = directory_.path() + "/again.pcapng";
  replay(again);
  EXPECT_EQ(std::filesystem::file_size(again), std::filesystem::file_size(out_));
  EXPECT_EQ(PcapngFile(again).frames.at(1).bytes, bytes);
}

TEST_F(Pcap, RecordsFromTheBeginningOfTimeWhereNothingIsReplayed) {
  OpenResult result = open_device("pcap:out=" + out_);
  ASSERT_TRUE(result.ok()) << result.error;
  EXPECT_EQ(result.device->max_sleep(now_), Duration::max());
  PacketQueue out;
  out.push_back(to_packet(pool_, frame(1)));
  out.push_back(to_packet(pool_, frame(2)));
  EXPECT_EQ(result.device->tx_burst(out, now_), 2u);
  const PcapngFile file(out_);
  ASSERT_EQ(file.frames.size(), 2u);
  EXPECT_EQ(file.frames[1].bytes, frame(2));
  EXPECT_EQ(file.frames[1].time, 0u);
  EXPECT_EQ(result.device->stats().tx_bytes, 120u);
}

}  // namespace
}  // namespace millrace::drivers
