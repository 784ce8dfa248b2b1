// Joins two interfaces like a network between them: forwards frames both ways and, on request, loses, delays,
// duplicates, reorders, corrupts them, or lets them through at a rate. For a middle network namespace in
// interop tests:
//
//     client [ c0 ]===[ left ] relay [ right ]===[ s0 ] server
//
// Prints "ready" when it forwards, and its counts when it ends: by --duration, SIGTERM or SIGINT.

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "fault/fault.h"
#include "open_device.h"

namespace millrace::drivers {
namespace {

constexpr std::size_t kBatch = 64;
/// Turns without a frame before it sleeps.
constexpr int kIdleTurns = 100;

volatile sig_atomic_t stopped = 0;

void stop(int) {
  stopped = 1;
}

Instant now() {
  return Instant{std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())};
}

struct Settings {
  ImpairmentOptions impairment;
  std::uint64_t seed = 1;
  bool segment = false;
  Duration duration = 600s;
  std::array<std::string, 2> devices;
};

constexpr const char* kUsage =
    "usage: relay [options] LEFT RIGHT\n"
    "  LEFT, RIGHT       interfaces, or device specs such as af_packet:eth1\n"
    "  --loss P          probability of loss, 0 to 1\n"
    "  --loss-from N     only TCP segments of N bytes of payload or more are lost\n"
    "  --duplicate P     of being sent twice\n"
    "  --corrupt P       of a bit error (needs --segment)\n"
    "  --reorder P       of being held back until three later frames have passed\n"
    "  --delay MS        milliseconds each way\n"
    "  --jitter MS       up to so much more\n"
    "  --spread MS       the same, but in order\n"
    "  --rate MBIT       megabits a second each way\n"
    "  --queue N         frames that wait for the rate (1000)\n"
    "  --queue-bytes N   bytes that do\n"
    "  --seed N          of all chance (1)\n"
    "  --segment         cut super-frames and complete checksums first: faults then hit single segments\n"
    "  --duration S      seconds until it ends by itself (600)\n";

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "relay: %s\n", message.c_str());
  std::exit(2);
}

double number(const char* option, const char* text, double max) {
  double value = 0;
  const char* end = text + std::strlen(text);
  const auto [at, error] = std::from_chars(text, end, value);
  if (error != std::errc{} || at != end || !(value >= 0 && value <= max)) {
    fail(std::string("--") + option + " " + text + ": must be a number from 0 to " + std::to_string(max));
  }
  return value;
}

Duration milliseconds(double ms) {
  return Duration{static_cast<Duration::rep>(ms * 1e6)};
}

Settings parse(int argc, char** argv) {
  static const option kOptions[] = {
      {"loss", 1, nullptr, 'l'},      {"duplicate", 1, nullptr, 'd'},   {"corrupt", 1, nullptr, 'c'},
      {"reorder", 1, nullptr, 'r'},   {"delay", 1, nullptr, 'D'},       {"jitter", 1, nullptr, 'j'},
      {"rate", 1, nullptr, 'R'},      {"queue", 1, nullptr, 'q'},       {"seed", 1, nullptr, 's'},
      {"loss-from", 1, nullptr, 'L'}, {"queue-bytes", 1, nullptr, 'Q'}, {"segment", 0, nullptr, 'S'},
      {"duration", 1, nullptr, 't'},  {"spread", 1, nullptr, 'p'},      {nullptr, 0, nullptr, 0}};
  Settings settings;
  ImpairmentOptions& impairment = settings.impairment;
  int index = 0;
  for (int c; (c = ::getopt_long(argc, argv, "", kOptions, &index)) != -1;) {
    const char* name = c == '?' ? "" : kOptions[index].name;
    switch (c) {
      case 'l':
        impairment.loss = number(name, optarg, 1);
        break;
      case 'L':
        impairment.loss_from = static_cast<std::uint32_t>(number(name, optarg, 65535));
        break;
      case 'd':
        impairment.duplicate = number(name, optarg, 1);
        break;
      case 'c':
        impairment.corrupt = number(name, optarg, 1);
        break;
      case 'r':
        impairment.reorder = number(name, optarg, 1);
        break;
      case 'D':
        impairment.delay = milliseconds(number(name, optarg, 60'000));
        break;
      case 'j':
        impairment.jitter = milliseconds(number(name, optarg, 60'000));
        break;
      case 'p':
        impairment.spread = milliseconds(number(name, optarg, 60'000));
        break;
      case 'R':
        impairment.rate = static_cast<std::uint64_t>(number(name, optarg, 1e6) * 1e6);
        break;
      case 'q':
        impairment.queue = static_cast<std::size_t>(number(name, optarg, 1e6));
        break;
      case 'Q':
        impairment.queue_bytes = static_cast<std::uint64_t>(number(name, optarg, 1e9));
        break;
      case 's':
        settings.seed = static_cast<std::uint64_t>(number(name, optarg, 1e15));
        break;
      case 'S':
        settings.segment = true;
        break;
      case 't':
        settings.duration = milliseconds(number(name, optarg, 86'400) * 1000);
        break;
      default:
        std::fputs(kUsage, stderr);
        std::exit(2);
    }
  }
  if (argc - optind != 2) {
    std::fputs(kUsage, stderr);
    std::exit(2);
  }
  if (impairment.corrupt > 0 && !settings.segment) {
    fail("--corrupt needs --segment: a frame whose checksum is left out hides its bit errors");
  }
  for (std::size_t i = 0; i < 2; ++i) settings.devices[i] = argv[optind + static_cast<int>(i)];
  return settings;
}

/// Opens one side; what is sent by it is impaired.
std::unique_ptr<FaultDevice> open_side(const Settings& settings, std::size_t side) {
  const std::string& name = settings.devices[side];
  OpenResult result = open_device(name.find(':') == std::string::npos ? "af_packet:" + name : name);
  if (!result.ok()) fail(result.error);
  FaultOptions options;
  options.tx = settings.impairment;
  options.seed = settings.seed + side;
  options.segment = settings.segment;
  options.name = name;
  return std::make_unique<FaultDevice>(std::move(result.device), options);
}

/// Forwards what came in by `from`; what `to` does not take waits in `queue`, and then nothing more is read.
std::size_t forward(PacketPool& pool, NetDevice& from, NetDevice& to, PacketQueue& queue, Instant time) {
  const std::size_t waiting = queue.size();
  const std::size_t came = waiting == 0 ? from.rx_burst(pool, queue, kBatch, time) : 0;
  for (Packet& packet : queue) {
    // A checksum that the sender left out is left to the next interface.
    if (packet.offload.rx_checksum == Offload::RxChecksum::kPartial) packet.offload.needs_checksum = true;
  }
  // They have come by now, but some after `time`: their delay must not seem to have begun before.
  if (!queue.empty()) to.tx_burst(queue, now());
  return came + waiting - std::min(waiting, queue.size());
}

void sleep_until_work(std::array<NetDevice*, 2> devices, Instant time, Instant end) {
  std::vector<pollfd> fds;
  Duration sleep = end - time;
  for (NetDevice* device : devices) {
    if (device->arm()) return;
    sleep = std::min(sleep, device->max_sleep(time));
    for (const WaitFd& wait : device->wait_fds()) {
      const int events = (wait.readable ? POLLIN : 0) | (wait.writable ? POLLOUT : 0);
      fds.push_back({wait.fd, static_cast<short>(events), 0});
    }
  }
  if (sleep <= Duration::zero()) return;
  const timespec timeout{static_cast<time_t>(sleep / 1s), static_cast<long>((sleep % 1s).count())};
  (void)::ppoll(fds.data(), fds.size(), &timeout, nullptr);
}

void report(FaultDevice& from, FaultDevice& to) {
  std::printf("%s -> %s:", std::string(from.name()).c_str(), std::string(to.name()).c_str());
  to.tx_counters().for_each([](std::string_view name, std::uint64_t value) {
    std::printf(" %.*s %llu", static_cast<int>(name.size()), name.data(),
                static_cast<unsigned long long>(value));
  });
  const DeviceStats in = from.stats();
  const DeviceStats out = to.stats();
  std::printf(
      " segmented %llu unsegmentable %llu rx_dropped %llu rx_no_memory %llu tx_errors %llu\n",
      static_cast<unsigned long long>(to.segmented()), static_cast<unsigned long long>(to.unsegmentable()),
      static_cast<unsigned long long>(in.rx_dropped), static_cast<unsigned long long>(in.rx_no_memory),
      static_cast<unsigned long long>(out.tx_errors));
}

int run(const Settings& settings) {
  // A sleep ends when it should: the default slack of 50 us is a good part of a frame at 100 Mb/s.
  ::prctl(PR_SET_TIMERSLACK, 1);
  PacketPool pool(PacketPool::Limits{.bytes = std::size_t{512} << 20});
  const std::unique_ptr<FaultDevice> left = open_side(settings, 0);
  const std::unique_ptr<FaultDevice> right = open_side(settings, 1);
  std::puts("ready");
  std::fflush(stdout);
  PacketQueue to_right;
  PacketQueue to_left;
  int idle = 0;
  Instant time = now();
  for (const Instant end = time + settings.duration; stopped == 0 && time < end; time = now()) {
    const std::size_t work =
        forward(pool, *left, *right, to_right, time) + forward(pool, *right, *left, to_left, time);
    idle = work != 0 ? 0 : idle + 1;
    if (idle > kIdleTurns) sleep_until_work({left.get(), right.get()}, time, end);
  }
  report(*left, *right);
  report(*right, *left);
  return 0;
}

}  // namespace
}  // namespace millrace::drivers

int main(int argc, char** argv) {
  using namespace millrace::drivers;
  struct sigaction action {};
  action.sa_handler = stop;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  return run(parse(argc, argv));
}
