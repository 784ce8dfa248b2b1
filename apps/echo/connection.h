#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "common/event_loop.h"

namespace millrace::echo {

enum class Service : std::uint8_t { kEcho, kDiscard, kChargen };

/// A number that one thread counts and others may read.
class Tally {
 public:
  Tally& operator+=(std::uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    return *this;
  }
  Tally& operator-=(std::uint64_t n) { return *this += 0 - n; }
  Tally& operator++() { return *this += 1; }
  Tally& operator--() { return *this -= 1; }
  operator std::uint64_t() const { return value_.load(std::memory_order_relaxed); }  // NOLINT

 private:
  std::atomic<std::uint64_t> value_{0};
};

struct Counters {
  Tally accepted, open, refused;
  Tally bytes_in, bytes_out;
  Tally blocked;  ///< times a reader was too slow, so that we stopped reading from it
  Tally reset;    ///< connections that ended with an error
  Tally datagrams_in, datagrams_out, datagrams_dropped;
  Tally pending_bytes;  ///< held for slow readers now

  /// Adds another thread's.
  void add(const Counters& other) {
    constexpr Tally Counters::*kAll[] = {&Counters::accepted,      &Counters::open,
                                         &Counters::refused,       &Counters::bytes_in,
                                         &Counters::bytes_out,     &Counters::blocked,
                                         &Counters::reset,         &Counters::datagrams_in,
                                         &Counters::datagrams_out, &Counters::datagrams_dropped,
                                         &Counters::pending_bytes};
    for (const auto one : kAll) this->*one += other.*one;
  }
};

class Connection;

/// What the connections of one server share. One thread uses it.
struct Shared {
  Shared(apps::EventLoop& event_loop, bool lend);
  apps::EventLoop& loop;
  bool zero_copy;
  Counters counters;
  bool draining = false;
  /// Received data on its way back: an idle connection owns no buffer.
  std::vector<unsigned char> scratch;
  /// The RFC 864 pattern, one period longer than a write, so that a write can start anywhere in a period. It
  /// stays to the end of the process: what was lent of it may be under way longer than the server.
  const std::vector<unsigned char>& pattern;
};

/// A TCP connection with one of the services. Made with new, it deletes itself when it is over; the server's
/// list knows the living ones.
class Connection final
    : public apps::Handler,
      public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  /// Takes the descriptor.
  Connection(Shared& shared, int fd, Service service);
  ~Connection() override;

  void on_event(std::uint32_t events) override;
  /// The server is ending: what the peer has sent is still answered, then the connection closes (and deletes
  /// itself).
  void drain();

 private:
  enum class Progress : std::uint8_t { kMore, kBlocked, kIdle, kEnd };

  /// False: the connection is over.
  bool serve(bool readable);
  bool serve_echo(bool readable);
  bool serve_discard();
  bool serve_chargen(bool readable);
  /// kIdle: nothing there. kEnd: end of stream or error.
  Progress receive(std::size_t& length);
  /// For what nobody looks at: counts it.
  Progress receive_and_forget();
  Progress received(ssize_t got, std::size_t& length);
  /// Sends as much as goes; kBlocked: `sent` is short. `lasting`: data that never changes.
  Progress transmit(const unsigned char* data, std::size_t length, std::size_t& sent, bool lasting = false);
  ssize_t send_some(const unsigned char* data, std::size_t length, bool lasting);
  Progress flush_pending();
  void hold(const unsigned char* data, std::size_t length);
  void want(std::uint32_t interest);

  Shared& shared_;
  int fd_;
  Service service_;
  std::uint32_t interest_;
  std::size_t pattern_offset_ = 0;
  // Not yet sent back. Nothing is read while there is any, so it is never more than one read.
  std::vector<unsigned char> pending_;
  std::size_t pending_offset_ = 0;
};

}  // namespace millrace::echo
