#pragma once

#include "packet/pool.h"
#include "wire/ipv4.h"

namespace millrace::ip {

/// Cuts a datagram into fragments of at most `mtu` bytes each (RFC 791 §3.2), appended to `out` with their
/// headers, in order. `datagram` has data() at the transport header and a complete checksum; `header` is that
/// of the whole. False: no memory, `out` unchanged.
[[nodiscard]] bool fragment(PacketPtr datagram, wire::Ipv4Header header, std::uint32_t mtu, PacketPool& pool,
                            PacketQueue& out);

}  // namespace millrace::ip
