#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/ip_address.h"
#include "base/keyed_hash.h"
#include "base/rng.h"
#include "base/time.h"
#include "wire/tcp_options.h"

namespace millrace::tcp {

using FastOpenCookie = wire::TcpOptions::FastOpenCookie;

/// net.ipv4.tcp_fastopen.
struct FastOpenBits {
  static constexpr unsigned kClient = 0x1;
  static constexpr unsigned kServer = 0x2;
  static constexpr unsigned kClientNoCookie = 0x4;
  static constexpr unsigned kServerNoCookie = 0x200;
};

/// The server's cookies (RFC 7413 §4.1.2): a keyed hash of both addresses. The key is as old as the context.
class FastOpenCookies {
 public:
  explicit FastOpenCookies(Rng& rng);
  [[nodiscard]] FastOpenCookie make(const IpAddress& local, const IpAddress& remote) const;

 private:
  KeyedHash hash_;
};

/// What a client remembers of servers (RFC 7413 §4.1.3): cookie and MSS, and whether data in a SYN got lost.
/// Bounded: a set of four places an address, of which the one longest unused is given away.
class FastOpenCache {
 public:
  struct Entry {
    IpAddress address;
    FastOpenCookie cookie;  ///< empty: none
    std::uint16_t mss = 0;  ///< announced by the server; 0: the place is free
    std::uint8_t losses = 0;
    Instant used{}, lost{};
  };

  explicit FastOpenCache(Rng& rng);
  ~FastOpenCache();
  FastOpenCache(const FastOpenCache&) = delete;
  FastOpenCache& operator=(const FastOpenCache&) = delete;

  /// Null when nothing is known of it.
  [[nodiscard]] const Entry* find(const IpAddress& address, Instant now);
  /// A SYN-ACK came. `lost`: to a SYN that had to be repeated without its data.
  void learn(const IpAddress& address, std::uint16_t mss, const std::optional<FastOpenCookie>& cookie,
             bool lost, Instant now);
  /// RFC 7413 §4.1.3.1: data in a SYN was lost on the way there, not long ago: a minute, doubled by each
  /// loss.
  [[nodiscard]] static bool black_hole(const Entry& entry, Instant now);

 private:
  static constexpr std::size_t kSets = 64, kWays = 4;
  using Table = std::array<std::array<Entry, kWays>, kSets>;
  [[nodiscard]] std::array<Entry, kWays>& set_of(const IpAddress& address);

  KeyedHash hash_;
  std::unique_ptr<Table> table_;  ///< made for the first entry
};

}  // namespace millrace::tcp
