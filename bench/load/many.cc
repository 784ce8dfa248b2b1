#include <algorithm>
#include <cerrno>
#include <thread>

#include "event_set.h"
#include "load.h"
#include "stream.h"

namespace millrace::load {

namespace {

constexpr std::size_t kBlock = 16384;

/// One connection of run_many: sends its own random stream and hashes what goes out and what comes in.
struct Transfer {
  explicit Transfer(const Options& options, std::uint64_t index) : stream(options.seed, index) {}

  Descriptor fd;
  RandomStream stream;
  std::uint64_t sent = 0, received = 0;
  StreamHash sent_hash, received_hash;
  bool connected = false;
  bool done = false;
};

class Crowd {
 public:
  explicit Crowd(const Options& options) : options_(options), api_(*options.api), set_(api_) {}

  /// Opens all the connections before the first byte is sent: they are really there at once.
  void connect_all() {
    for (std::size_t i = 0; i < options_.connections; ++i) {
      Transfer& transfer = transfers_.emplace_back(options_, i);
      transfer.fd = start_connect_tcp(options_, i);
      control(EPOLL_CTL_ADD, i, EPOLLOUT);
    }
    for (std::size_t waiting = transfers_.size(); waiting > 0;) {
      for (const epoll_event& event : wait()) {
        Transfer& transfer = transfers_[event.data.u64];
        expect_connected(options_, transfer.fd.get());
        transfer.connected = true;
        --waiting;
        control(EPOLL_CTL_MOD, event.data.u64, 0);
      }
    }
  }

  void transfer_all() {
    for (std::size_t i = 0; i < transfers_.size(); ++i) control(EPOLL_CTL_MOD, i, EPOLLIN | EPOLLOUT);
    for (std::size_t waiting = transfers_.size(); waiting > 0;) {
      for (const epoll_event& event : wait()) {
        Transfer& transfer = transfers_[event.data.u64];
        if ((event.events & EPOLLOUT) != 0 && transfer.sent < options_.bytes)
          write_some(transfer, event.data.u64);
        if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !transfer.done && read_some(transfer)) {
          transfer.done = true;
          control(EPOLL_CTL_DEL, event.data.u64, 0);
          --waiting;
        }
      }
    }
  }

  [[nodiscard]] std::uint64_t wrong() {
    std::uint64_t count = 0;
    for (Transfer& transfer : transfers_) {
      count += transfer.received != options_.bytes ||
               transfer.sent_hash.finish() != transfer.received_hash.finish();
    }
    return count;
  }
  [[nodiscard]] std::uint64_t received() const {
    std::uint64_t total = 0;
    for (const Transfer& transfer : transfers_) total += transfer.received;
    return total;
  }

 private:
  std::span<const epoll_event> wait() { return set_.wait(1000); }

  void control(int operation, std::size_t index, std::uint32_t interest) {
    set_.control(operation, transfers_[index].fd.get(), index, interest);
  }

  void write_some(Transfer& transfer, std::size_t index) {
    // The stream can be made again only from a multiple of 64 on.
    const std::uint64_t start = transfer.sent & ~std::uint64_t{63};
    const auto skip = static_cast<std::size_t>(transfer.sent - start);
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kBlock, options_.bytes - start));
    transfer.stream.fill(start, std::span(block_.data(), length));
    const ssize_t sent =
        api_.send(transfer.fd.get(), block_.data() + skip, length - skip, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EAGAIN) return;
      fail_with_errno("send");
    }
    transfer.sent_hash.add(std::span(block_.data() + skip, static_cast<std::size_t>(sent)));
    transfer.sent += static_cast<std::uint64_t>(sent);
    if (transfer.sent < options_.bytes) return;
    if (api_.shutdown(transfer.fd.get(), SHUT_WR) != 0) fail_with_errno("shutdown");
    control(EPOLL_CTL_MOD, index, EPOLLIN);
  }

  /// True at the end of the stream.
  bool read_some(Transfer& transfer) {
    const ssize_t got = api_.recv(transfer.fd.get(), block_.data(), block_.size(), MSG_DONTWAIT);
    if (got == 0) return true;
    if (got < 0) {
      if (errno == EAGAIN) return false;
      fail_with_errno("recv");
    }
    transfer.received_hash.add(std::span(block_.data(), static_cast<std::size_t>(got)));
    transfer.received += static_cast<std::uint64_t>(got);
    return false;
  }

  const Options& options_;
  const apps::SocketApi& api_;
  EventSet set_;
  std::vector<Transfer> transfers_;
  std::vector<unsigned char> block_ = std::vector<unsigned char>(kBlock);
};

}  // namespace

bool run_many(const Options& options, Report& report) {
  Crowd crowd(options);
  const auto start = Clock::now();
  crowd.connect_all();
  const auto connected = Clock::now();
  crowd.transfer_all();
  const double elapsed = std::chrono::duration<double>(Clock::now() - connected).count();
  const std::uint64_t wrong = crowd.wrong();
  report.add("connections", std::uint64_t{options.connections});
  report.add("connect_seconds", std::chrono::duration<double>(connected - start).count());
  report.add("bytes", crowd.received());
  report.add("seconds", elapsed);
  report.add("gbps", static_cast<double>(crowd.received()) * 8 / elapsed / 1e9);
  report.add("wrong", wrong);
  return wrong == 0;
}

bool run_hold(const Options& options, Report& report) {
  std::vector<Descriptor> held;
  for (std::size_t i = 0; i < options.connections; ++i) held.push_back(connect_tcp(options, i));
  report.add("connections", std::uint64_t{held.size()});
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
  return true;
}

}  // namespace millrace::load
