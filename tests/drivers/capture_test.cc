#include "capture/capture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "frames.h"
#include "open_device.h"
#include "pcapng_reader.h"
#include "stack.h"
#include "support/fake_device.h"
#include "temporary_directory.h"

namespace millrace::drivers {
namespace {

using test::FakeDevice;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::uint32_t kInbound = 1;
constexpr std::uint32_t kOutbound = 2;

class Capture : public testing::Test {
 protected:
  /// A capture in front of a device in memory.
  std::unique_ptr<CaptureDevice> open(CaptureOptions options = {}) {
    if (options.file.empty()) options.file = path_;
    auto inner = std::make_unique<FakeDevice>();
    wire_ = inner.get();
    wire_->address = FrameSpec{}.destination_mac;
    wire_->capabilities.tso = wire_->capabilities.tx_checksum = wire_->capabilities.scatter = true;
    wire_->capabilities.max_gso_bytes = 65000;
    std::unique_ptr<CaptureDevice> device = CaptureDevice::open(std::move(inner), options, error_);
    EXPECT_EQ(device != nullptr, error_.empty());
    return device;
  }
  std::string error_of(const CaptureOptions& options) {
    EXPECT_EQ(open(options), nullptr);
    EXPECT_THAT(error_, AllOf(HasSubstr("capture: "), Not(HasSubstr("\n"))));
    return error_;
  }
  /// A stack at 198.18.0.1 on the capture.
  Stack& start(NetDevice& device) {
    stack_ = std::make_unique<Stack>(StackConfig{}, Rng::Seed{1}, now_);
    link::InterfaceConfig config;
    config.addresses = {IpPrefix{IpAddress::v4(198, 18, 0, 1), 24}};
    config.probe_addresses = false;
    stack_->add_interface(device, config, now_);
    return *stack_;
  }
  static std::uint64_t stat_of(NetDevice& device, std::string_view name) {
    for (const auto& [one, value] : device.extended_stats()) {
      if (one == name) return value;
    }
    return ~0ull;
  }
  [[nodiscard]] std::vector<std::uint32_t> lengths_by_libpcap() const {
    char problem[PCAP_ERRBUF_SIZE];
    std::vector<std::uint32_t> lengths;
    pcap_t* file = pcap_open_offline(path_.c_str(), problem);
    EXPECT_NE(file, nullptr) << problem;
    pcap_pkthdr* header = nullptr;
    const u_char* bytes = nullptr;
    int result = file != nullptr ? 1 : PCAP_ERROR_BREAK;
    while (result == 1) {
      result = pcap_next_ex(file, &header, &bytes);
      if (result == 1) lengths.push_back(header->len);
    }
    EXPECT_EQ(result, PCAP_ERROR_BREAK) << pcap_geterr(file);
    if (file != nullptr) pcap_close(file);
    return lengths;
  }
  void send(NetDevice& device, PacketPtr packet) {
    PacketQueue queue;
    queue.push_back(std::move(packet));
    device.tx_burst(queue, now_);
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_.path() + "/out.pcapng";
  std::string error_;
  PacketPool pool_;
  FakeDevice* wire_ = nullptr;
  std::unique_ptr<Stack> stack_;
  Instant now_ = kEpoch + 1000s;
};

TEST_F(Capture, RecordsBothDirectionsWithTimeAndInterface) {
  auto device = open();
  const Bytes in = raw_frame(100, 1, wire_->address, MacAddress{{2, 0, 0, 0, 0, 9}});
  const Bytes out = raw_frame(61, 2, MacAddress{{2, 0, 0, 0, 0, 9}}, wire_->address);
  wire_->inject(in);
  PacketQueue received;
  EXPECT_EQ(device->rx_burst(pool_, received, 8, now_), 1u);
  EXPECT_EQ(bytes_of(received.front()), in) << "and it passes on";
  now_ += 1500ns;
  send(*device, to_packet(pool_, out));
  EXPECT_EQ(wire_->sent().at(0).bytes, out);
  device.reset();
  const PcapngFile file(path_);
  ASSERT_TRUE(file.whole);
  EXPECT_EQ(file.interface, "fake");
  EXPECT_EQ(file.resolution, 9u);
  EXPECT_EQ(file.link_type, 1u);
  ASSERT_EQ(file.frames.size(), 2u);
  // Nobody said what became of the received frame; so it comes later in the file.
  const auto& [first, second] = std::tie(file.frames[1], file.frames[0]);
  EXPECT_EQ(first.bytes, in);
  EXPECT_EQ(first.flags, kInbound);
  EXPECT_EQ(second.bytes, out);
  EXPECT_EQ(second.flags, kOutbound);
  EXPECT_EQ(second.time - first.time, 1500u);
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u) << "for the owner alone";
}

TEST_F(Capture, TellsTheTimeOfDay) {
  auto device = open();
  timespec monotonic{}, day{};
  ::clock_gettime(CLOCK_MONOTONIC, &monotonic);
  ::clock_gettime(CLOCK_REALTIME, &day);
  now_ = Instant{std::chrono::seconds{monotonic.tv_sec} + std::chrono::nanoseconds{monotonic.tv_nsec}};
  send(*device, to_packet(pool_, Bytes(60)));
  const PcapngFile file(path_);
  ASSERT_EQ(file.frames.size(), 1u);
  const auto seconds = static_cast<std::int64_t>(file.frames[0].time / 1'000'000'000);
  EXPECT_LE(std::abs(seconds - day.tv_sec), 1);
}

TEST_F(Capture, LibpcapReadsIt) {
  auto device = open({.filter = "ip"});
  FrameSpec spec;
  spec.payload = pattern(20'000, 3);
  send(*device, to_offload_packet(pool_, spec, 1460));
  spec.payload.resize(10);
  send(*device, to_packet(pool_, make_frame(spec)));
  device.reset();
  char problem[PCAP_ERRBUF_SIZE];
  pcap_t* file = pcap_open_offline_with_tstamp_precision(path_.c_str(), PCAP_TSTAMP_PRECISION_NANO, problem);
  ASSERT_NE(file, nullptr) << problem;
  EXPECT_EQ(pcap_datalink(file), DLT_EN10MB);
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  ASSERT_EQ(pcap_next_ex(file, &header, &bytes), 1) << pcap_geterr(file);
  EXPECT_EQ(header->len, 20'054u) << "a super-frame, as it is";
  EXPECT_EQ(header->caplen, 20'054u);
  ASSERT_EQ(pcap_next_ex(file, &header, &bytes), 1) << pcap_geterr(file);
  EXPECT_EQ(Bytes(bytes, bytes + header->caplen), make_frame(spec));
  EXPECT_EQ(pcap_next_ex(file, &header, &bytes), PCAP_ERROR_BREAK);
  pcap_close(file);
}

TEST_F(Capture, NamesTheCounterOfEachFrameThatWasDropped) {
  auto device = open();
  Stack& stack = start(*device);
  FrameSpec good;
  good.flags = 0x02;
  std::vector<std::pair<Bytes, std::string>> cases;
  const auto add = [&](Bytes frame, const std::string& comment) {
    cases.emplace_back(std::move(frame), comment);
  };
  Bytes frame = make_frame(good);
  add(frame, "dropped: TcpNoPort");
  frame.back() ^= 1;
  add(frame, "dropped: TcpInErrs, TcpInCsumErrors");
  frame = make_frame(good);
  frame[24] ^= 1;
  add(frame, "dropped: IpInHdrErrors, IpExtInCsumErrors");
  add(raw_frame(60, 1, MacAddress{{2, 0, 0, 0, 0, 9}}, good.source_mac), "dropped: RxOtherHost");
  add(raw_frame(60, 1, good.destination_mac, good.source_mac), "dropped: RxUnknownProtocol");
  FrameSpec udp = good;
  udp.udp = true;
  udp.payload = pattern(10, 1);
  add(make_frame(udp), "dropped: UdpNoPorts");
  FrameSpec elsewhere = good;
  elsewhere.destination = IpAddress::v4(198, 18, 0, 77);
  add(make_frame(elsewhere), "dropped: IpInAddrErrors, IpInNotOurs");
  add(Bytes(10), "dropped: RxTooShort");
  // All in one burst: each has its own.
  for (const auto& [bytes, comment] : cases) wire_->inject(bytes);
  stack.poll(now_, 64);
  stack_.reset();
  device.reset();
  const PcapngFile file(path_);
  ASSERT_TRUE(file.whole);
  std::vector<PcapngFile::Frame> in;
  for (const auto& one : file.frames) {
    if (one.flags == kInbound) in.push_back(one);
    if (one.flags == kOutbound) {
      EXPECT_EQ(one.comment, "");
    }
  }
  ASSERT_EQ(in.size(), cases.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(in[i].bytes, cases[i].first);
    EXPECT_EQ(in[i].comment, cases[i].second);
  }
}

TEST_F(Capture, SaysNothingOfAFrameThatWasTaken) {
  auto device = open();
  Stack& stack = start(*device);
  auto socket = stack.create_socket(SocketType::kDatagram);
  ASSERT_TRUE(socket);
  ASSERT_TRUE((*socket)->bind({IpAddress::v4(198, 18, 0, 1), FrameSpec{}.destination_port}));
  FrameSpec udp;
  udp.udp = true;
  wire_->inject(make_frame(udp));
  stack.poll(now_, 64);
  const PcapngFile file(path_);
  ASSERT_EQ(file.frames.size(), 1u) << "it is in the file at once";
  EXPECT_EQ(file.frames[0].comment, "");
  socket->reset();
  stack_.reset();
}

TEST_F(Capture, NamesTheCounterOfAFrameThatWasNotSent) {
  auto device = open();
  Stack& stack = start(*device);
  wire_->room = 0;
  // Answers to each of these wait for the device until the queue is full.
  constexpr int kRequests = 5000;
  stack.interfaces().front()->set_tx_queue_packets(4096);
  FrameSpec syn;
  syn.flags = 0x02;
  // The first answers wait for the neighbour, who then says who he is.
  Bytes arp{2, 0, 0, 0, 0, 2, 2, 0,   0,  0, 0, 1, 8, 6, 0, 1, 8, 0,   6,  4, 0,
            1, 2, 0, 0, 0, 0, 1, 198, 18, 0, 2, 0, 0, 0, 0, 0, 0, 198, 18, 0, 1};
  wire_->inject(arp);
  for (int i = 0; i < kRequests; ++i) {
    syn.source_port = static_cast<std::uint16_t>(1000 + i);
    wire_->inject(make_frame(syn));
  }
  while (stack.poll(now_, 64) != 0) now_ += 1ms;
  stack_.reset();
  device.reset();
  const PcapngFile file(path_);
  std::size_t unsent = 0;
  for (const auto& frame : file.frames) {
    if (frame.flags != kOutbound) continue;
    EXPECT_EQ(frame.comment, "dropped: TxQueueDropped");
    ++unsent;
  }
  EXPECT_GT(unsent, 100u);
}

TEST_F(Capture, RecordsWhatTheFilterWants) {
  auto device = open({.filter = "udp port 5000 or (tcp and not port 4000)"});
  FrameSpec spec;
  spec.payload = pattern(100, 1);
  send(*device, to_packet(pool_, make_frame(spec)));
  spec.udp = true;
  send(*device, to_packet(pool_, make_frame(spec)));
  wire_->inject(raw_frame(60, 1, wire_->address, spec.source_mac));
  wire_->inject(make_frame(spec));
  PacketQueue in;
  device->rx_burst(pool_, in, 8, now_);
  EXPECT_EQ(in.size(), 2u);
  device->frame_done("RxUnknownProtocol");
  device->frame_done("UdpNoPorts");
  const PcapngFile file(path_);
  EXPECT_EQ(file.filter, "udp port 5000 or (tcp and not port 4000)");
  ASSERT_EQ(file.frames.size(), 2u);
  EXPECT_EQ(file.frames[0].bytes, make_frame(spec));
  EXPECT_EQ(file.frames[1].comment, "dropped: UdpNoPorts") << "its own, not that of the one before it";
}

TEST_F(Capture, FinishesChecksumsThatADeviceWouldFinish) {
  auto device = open();
  for (const bool udp : {false, true}) {
    FrameSpec spec;
    spec.udp = udp;
    spec.payload = pattern(20'001, 3);
    PacketPtr packet = to_offload_packet(pool_, spec, 1460);
    const Bytes unfinished = bytes_of(*packet);
    send(*device, std::move(packet));
    EXPECT_EQ(wire_->sent().back().bytes, unfinished) << "in the file alone";
    Offload offload = wire_->sent().back().offload;
    offload.needs_checksum = false;
    offload.rx_checksum = Offload::RxChecksum::kPartial;
    wire_->inject(unfinished, offload);
  }
  PacketQueue in;
  (void)device->rx_burst(pool_, in, 8, now_);
  // One that is wrong stays so.
  Bytes wrong = make_frame(FrameSpec{});
  wrong.back() ^= 1;
  wire_->inject(wrong);
  (void)device->rx_burst(pool_, in, 8, now_);
  device.reset();
  const PcapngFile file(path_);
  ASSERT_EQ(file.frames.size(), 5u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(transport_checksum_ok(file.frames[i].bytes)) << i;
  }
  EXPECT_EQ(file.frames[4].bytes, wrong);
}

TEST_F(Capture, CutsFramesToTheSnapLength) {
  auto device = open({.snap_length = 96});
  FrameSpec spec;
  spec.payload = pattern(20'000, 3);
  send(*device, to_offload_packet(pool_, spec, 1460));
  const PcapngFile file(path_);
  EXPECT_EQ(file.snap_length, 96u);
  ASSERT_EQ(file.frames.size(), 1u);
  EXPECT_EQ(file.frames[0].bytes.size(), 96u);
  EXPECT_EQ(file.frames[0].length, 20'054u);
}

TEST_F(Capture, EndsWithAWholeBlockAtTheLimitAndLetsTheFramesPass) {
  auto device = open({.limit = 10'000});
  testing::internal::CaptureStderr();
  for (int i = 0; i < 20; ++i) send(*device, to_packet(pool_, Bytes(1001)));
  EXPECT_EQ(wire_->sent().size(), 20u);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "millrace: capture: " + path_ +
                                                        ": the limit of its size is reached; frames are not "
                                                        "recorded\n");
  const PcapngFile file(path_);
  EXPECT_TRUE(file.whole);
  EXPECT_EQ(file.frames.size(), 9u);
  EXPECT_LE(std::filesystem::file_size(path_), 10'000u);
}

TEST_F(Capture, LosesCountsAndGoesOnWhileTheDiskIsFull) {
  // In a child with a small file system of its own, which answers with its exit code.
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
      ::_exit(2);
    }
    auto device = open();
    const std::string ballast = directory_.path() + "/ballast";
    std::ofstream(ballast) << std::string(20'000, 'x');
    testing::internal::CaptureStderr();
    for (int i = 0; i < 100; ++i) send(*device, to_packet(pool_, Bytes(1001)));
    const std::string said = testing::internal::GetCapturedStderr();
    const PcapngFile full(path_);
    const std::size_t lost = stat_of(*device, "CaptureFramesLost");
    bool fine = wire_->sent().size() == 100 && full.whole && full.frames.size() + lost == 100 && lost > 30;
    fine = fine && stat_of(*device, "CaptureWriteErrors") == lost &&
           said == "millrace: capture: " + path_ + ": No space left on device; frames are not recorded\n";
    // There is room again.
    std::filesystem::remove(ballast);
    send(*device, to_packet(pool_, Bytes(1001)));
    const PcapngFile again(path_);
    fine = fine && again.whole && again.frames.size() == full.frames.size() + 1 &&
           stat_of(*device, "CaptureFrames") == again.frames.size();
    ::_exit(fine ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(Capture, CannotBeginOnAFullDisk) {
  const rlimit none{0, RLIM_INFINITY};
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
  testing::internal::CaptureStderr();
  EXPECT_THAT(error_of({}), HasSubstr("has no room under its limit of 0 bytes"));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
}

TEST_F(Capture, TellsOfFramesThatThePoolHadNoMemoryFor) {
  auto device = open();
  PacketPool none(PacketPool::Limits{.bytes = 0, .reserve = 0});
  PacketQueue in;
  for (int i = 0; i < 3; ++i) wire_->inject(raw_frame(60, 1, wire_->address, wire_->address));
  (void)device->rx_burst(none, in, 8, now_);
  EXPECT_TRUE(in.empty());
  for (int i = 0; i < 2; ++i) wire_->inject(raw_frame(60, 1, wire_->address, wire_->address));
  EXPECT_EQ(device->rx_burst(pool_, in, 8, now_), 2u);
  device->frame_done("RxUnknownProtocol");
  device->frame_done("");
  const PcapngFile file(path_);
  ASSERT_EQ(file.frames.size(), 2u);
  EXPECT_EQ(file.frames[0].comment, "dropped: RxUnknownProtocol; 3 lost before this: RxNoMemory");
  EXPECT_EQ(file.frames[0].lost_before, 3u);
  EXPECT_EQ(file.frames[1].comment, "");
  EXPECT_EQ(file.frames[1].lost_before, 0u);
}

TEST_F(Capture, IsReadableAfterSigkill) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto device = open();
    for (int i = 0; i < 50; ++i) send(*device, to_packet(pool_, Bytes(100 + static_cast<std::size_t>(i))));
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  const PcapngFile file(path_);
  EXPECT_TRUE(file.whole);
  EXPECT_EQ(file.frames.size(), 50u) << "each was in the file once the burst was over";
}

TEST_F(Capture, HasAFileForItself) {
  auto device = open();
  send(*device, to_packet(pool_, Bytes(100)));
  EXPECT_THAT(error_of({}), HasSubstr(path_ + " is being written by another program"));
  EXPECT_EQ(PcapngFile(path_).frames.size(), 1u) << "left alone";
  device.reset();
  device = open();
  EXPECT_TRUE(PcapngFile(path_).frames.empty()) << "the next one begins anew";
}

TEST_F(Capture, GoesOnInAFileThatWasMadeBefore) {
  EXPECT_FALSE(open_capture_file({.file = path_, .filter = "tcp prot 80"}, error_));
  EXPECT_THAT(error_, HasSubstr("filter \"tcp prot 80\": "));
  error_.clear();
  UniqueFd file = open_capture_file({.file = path_}, error_);
  ASSERT_TRUE(file) << error_;
  for (std::size_t i = 0; i < 2; ++i) {
    auto device = open({.inherited = file.get()});
    send(*device, to_packet(pool_, Bytes(100 + i)));
  }
  // Both at once, as a parent and a child.
  auto first = open({.inherited = file.get()});
  auto second = open({.inherited = file.get()});
  send(*first, to_packet(pool_, Bytes(102)));
  send(*second, to_packet(pool_, Bytes(103)));
  send(*first, to_packet(pool_, Bytes(104)));
  const PcapngFile written(path_);
  EXPECT_TRUE(written.whole);
  EXPECT_EQ(written.sections, 4u);
  EXPECT_EQ(lengths_by_libpcap(), (std::vector<std::uint32_t>{100, 101, 102, 103, 104}));
}

TEST_F(Capture, SaysInOneLineWhyItCannotBegin) {
  EXPECT_THAT(error_of({.file = directory_.path() + "/none/x"}), HasSubstr("No such file"));
  EXPECT_THAT(error_of({.file = "/dev/null"}), HasSubstr("not a regular file"));
  EXPECT_THAT(error_of({.filter = "tcp prot 80"}), HasSubstr("filter \"tcp prot 80\": "));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Capture, IsInFrontOfAnyDevice) {
  DeviceOptions options;
  options.capture.file = path_;
  OpenResult result = open_device("fault(loss=1):pipe:capture-test", options);
  ASSERT_TRUE(result.ok()) << result.error;
  EXPECT_EQ(result.device->name(), "fault(loss=1):pipe:capture-test");
  send(*result.device, to_packet(pool_, Bytes(60)));
  EXPECT_EQ(PcapngFile(path_).frames.size(), 1u) << "before anything happens to it";
  options.capture.file = "/";
  result = open_device("pipe:capture-test-2", options);
  EXPECT_FALSE(result.ok());
  EXPECT_THAT(result.error, HasSubstr("capture: "));
  result.device.reset();
}

}  // namespace
}  // namespace millrace::drivers
