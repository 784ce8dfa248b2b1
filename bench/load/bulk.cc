#include <linux/tcp.h>
#include <netinet/in.h>

#include <cerrno>
#include <exception>
#include <thread>

#include "load.h"
#include "machine_cpu.h"
#include "stream.h"
#include "turns.h"

namespace millrace::load {

namespace {

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// CPU seconds of the whole machine for a gigabyte.
double per_gigabyte(double cpu_seconds, std::uint64_t bytes) {
  return bytes != 0 ? cpu_seconds * 1e9 / static_cast<double>(bytes) : 0;
}

double gigabits(std::uint64_t bytes, double seconds) {
  return seconds > 0 ? static_cast<double>(bytes) * 8 / seconds / 1e9 : 0;
}

/// Reads to the end of the stream or until `enough` bytes or seconds, handing each piece to `take`.
template <typename Take>
std::uint64_t read_stream(const Options& options, int fd, double seconds, Take take) {
  std::vector<unsigned char> buffer(options.size);
  std::uint64_t total = 0;
  for (const auto start = Clock::now(); seconds <= 0 || seconds_since(start) < seconds;) {
    const ssize_t got = options.api->recv(fd, buffer.data(), buffer.size(), 0);
    if (got == 0) break;
    if (got < 0) {
      if (errno == EINTR) continue;
      fail_with_errno("recv");
    }
    take(std::span<const unsigned char>(buffer.data(), static_cast<std::size_t>(got)));
    total += static_cast<std::uint64_t>(got);
  }
  return total;
}

/// What a sender's connection tells of itself.
tcp_info info_of(const Options& options, int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (options.api->getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) fail_with_errno("TCP_INFO");
  return info;
}

/// Of a turn, the part before it is measured: until buffers are as full as they will be.
constexpr double kSettling = 0.125;

/// What went through a stream, and what that took.
struct Transferred {
  std::uint64_t bytes = 0;
  double seconds = 0, cpu_seconds = 0;

  void add(const Transferred& other) {
    bytes += other.bytes;
    seconds += other.seconds;
    cpu_seconds += other.cpu_seconds;
  }
  void fill(Report& report) const {
    report.add("bytes", bytes);
    report.add("seconds", seconds);
    report.add("gbps", gigabits(bytes, seconds));
    report.add("cpu_s_gigabyte", per_gigabyte(cpu_seconds, bytes));
  }
};

/// What `transfer(seconds)` moves in the time, which it may overstep a little.
template <typename Transfer>
Transferred measured(Transfer transfer, double seconds) {
  const MachineCpu cpu;
  const auto start = Clock::now();
  const std::uint64_t bytes = transfer(seconds);
  return {.bytes = bytes, .seconds = seconds_since(start), .cpu_seconds = cpu.seconds()};
}

/// The same in each turn that standard input allots.
template <typename Transfer>
void in_turns(const Options& options, Report& report, Transfer transfer) {
  Turns turns(options);
  Transferred last, all;
  for (Report of_last; const auto turn = turns.next(of_last);) {
    transfer(turn->seconds * kSettling);
    last = measured(transfer, turn->seconds);
    if (last.bytes == 0) throw Failure("nothing came or went in a turn: has the server closed the stream?");
    if (!turns.warms_up()) all.add(last);
    of_last = {};
    last.fill(of_last);
  }
  all.fill(report);
}

bool send_in_turns(const Options& options, Report& report) {
  const Descriptor fd = connect_tcp(options);
  const std::vector<unsigned char> block(options.size, 0x6d);
  in_turns(options, report, [&](double seconds) {
    std::uint64_t sent = 0;
    for (const auto start = Clock::now(); seconds_since(start) < seconds; sent += block.size())
      send_all(options, fd.get(), block.data(), block.size());
    return sent;
  });
  return true;
}

bool bulk_send(const Options& options, Report& report) {
  if (options.turns) return send_in_turns(options, report);
  const Descriptor fd = connect_tcp(options);
  const std::vector<unsigned char> block(options.size, 0x6d);
  const MachineCpu cpu;
  const auto start = Clock::now();
  std::uint64_t sent = 0, half_acked = 0;
  double half = 0;
  while (options.bytes != 0 ? sent < options.bytes : seconds_since(start) < options.seconds) {
    send_all(options, fd.get(), block.data(), block.size());
    sent += block.size();
    if (half <= 0 && options.bytes == 0 && seconds_since(start) >= options.seconds / 2) {
      half_acked = info_of(options, fd.get()).tcpi_bytes_acked;
      half = seconds_since(start);
    }
  }
  const tcp_info info = info_of(options, fd.get());
  const double sending = seconds_since(start);
  // The peer's end of stream says that it has read everything.
  if (options.api->shutdown(fd.get(), SHUT_WR) != 0) fail_with_errno("shutdown");
  read_stream(options, fd.get(), 0, [](auto) {});
  const double elapsed = seconds_since(start);
  Transferred{.bytes = sent, .seconds = elapsed, .cpu_seconds = cpu.seconds()}.fill(report);
  if (half > 0)
    report.add("second_half_mbps", gigabits(info.tcpi_bytes_acked - half_acked, sending - half) * 1000);
  report.add("retransmitted", std::uint64_t{info.tcpi_total_retrans});
  report.add("cwnd", std::uint64_t{info.tcpi_snd_cwnd});
  report.add("rtt_ms", info.tcpi_rtt / 1e3);
  report.add("min_rtt_ms", info.tcpi_min_rtt / 1e3);
  return true;
}

bool bulk_receive(const Options& options, Report& report) {
  const Descriptor fd = connect_tcp(options);
  const auto receive = [&](double seconds) { return read_stream(options, fd.get(), seconds, [](auto) {}); };
  if (options.turns) {
    in_turns(options, report, receive);
    return true;
  }
  const Transferred all = measured(receive, options.seconds);
  all.fill(report);
  return all.bytes > 0;
}

/// Sends random bytes and reads them back at the same time, from two threads; the hashes must agree.
bool bulk_echo(const Options& options, Report& report) {
  const Descriptor fd = connect_tcp(options);
  const auto start = Clock::now();
  StreamHash sent_hash, received_hash;
  std::exception_ptr writer_failure;
  std::thread writer([&] {
    try {
      const RandomStream stream(options.seed, 0);
      std::vector<unsigned char> block(options.size);
      for (std::uint64_t sent = 0; sent < options.bytes;) {
        const auto length =
            static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), options.bytes - sent));
        stream.fill(sent, std::span(block.data(), length));
        sent_hash.add(std::span(block.data(), length));
        send_all(options, fd.get(), block.data(), length);
        sent += length;
      }
      if (options.api->shutdown(fd.get(), SHUT_WR) != 0) fail_with_errno("shutdown");
    } catch (...) {
      writer_failure = std::current_exception();
      options.api->shutdown(fd.get(), SHUT_RDWR);
    }
  });
  std::uint64_t received = 0;
  std::exception_ptr reader_failure;
  try {
    std::this_thread::sleep_for(std::chrono::duration<double>(options.pause));
    received = read_stream(options, fd.get(), 0, [&](auto piece) { received_hash.add(piece); });
  } catch (...) {
    reader_failure = std::current_exception();
    options.api->shutdown(fd.get(), SHUT_RDWR);
  }
  writer.join();
  if (reader_failure) std::rethrow_exception(reader_failure);
  if (writer_failure) std::rethrow_exception(writer_failure);
  const double elapsed = seconds_since(start);
  const std::string sent_text = sent_hash.finish(), received_text = received_hash.finish();
  report.add("bytes", received);
  report.add("seconds", elapsed);
  report.add("gbps", gigabits(received, elapsed));
  report.add("sent_blake2b", sent_text);
  report.add("received_blake2b", received_text);
  return received == options.bytes && sent_text == received_text;
}

}  // namespace

bool run_bulk(const Options& options, Report& report) {
  if (options.direction == "send") return bulk_send(options, report);
  if (options.direction == "receive") return bulk_receive(options, report);
  return bulk_echo(options, report);
}

bool run_say(const Options& options, Report& report) {
  const Descriptor fd = connect_tcp(options);
  send_all(options, fd.get(), options.text.data(), options.text.size());
  if (options.api->shutdown(fd.get(), SHUT_WR) != 0) fail_with_errno("shutdown");
  std::string answer;
  read_stream(options, fd.get(), 0, [&](auto piece) { answer.append(piece.begin(), piece.end()); });
  report.add("answer", answer);
  return answer == options.text;
}

}  // namespace millrace::load
