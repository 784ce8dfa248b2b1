#pragma once

#include <cstdint>

#include "base/keyed_hash.h"
#include "base/rng.h"
#include "base/seq.h"
#include "base/time.h"
#include "tcp/flow_table.h"

namespace millrace::tcp {

/// Initial sequence numbers by RFC 6528: ISN = M + F(4-tuple, secret), M a clock of 4 µs ticks (RFC 9293
/// §3.4.1). The same secret gives each flow its offset of the timestamp clock (RFC 7323 §5.4), which
/// therefore runs on across incarnations of one 4-tuple, and RFC 6056 its port offsets.
class IsnGenerator {
 public:
  explicit IsnGenerator(Rng& rng);

  [[nodiscard]] SeqNum isn(const FlowKey& key, Instant now) const;
  [[nodiscard]] std::uint32_t timestamp_offset(const FlowKey& key) const;
  /// RFC 6056 §3.3.3: F(local address, remote endpoint).
  [[nodiscard]] std::uint32_t port_offset(const IpAddress& local, const Endpoint& remote) const;

 private:
  [[nodiscard]] std::uint64_t hash(const FlowKey& key, std::uint8_t purpose) const;
  KeyedHash hash_;
};

}  // namespace millrace::tcp
