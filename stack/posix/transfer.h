#pragma once

#include <cstddef>
#include <span>

#include "posix/calls.h"
#include "posix/library.h"

/// What the calls that copy and those that lend have in common.
namespace millrace::posix {

/// Linux cuts every transfer to this (MAX_RW_COUNT).
inline constexpr std::size_t kMaxTransfer = 0x7ffff000;

/// Sends on a socket, waiting as it may: bytes, or -errno. `now`: the clock was just read.
[[nodiscard]] long send_to_file(LockedFile& locked, const iovec* slices, std::size_t count, int flags,
                                const OutgoingMessage& message, Instant now = clock_now());
/// The result of a send, after the lock is released. On a stream whose write half is shut, EPIPE comes with
/// SIGPIPE, to this thread: send(2).
long with_signal(long result, bool stream, int flags);

/// Under the context's lock: receives once, when there is something: 0, or -errno.
[[nodiscard]] long receive_once(SocketFile& file, std::span<const IoSlice> out, ReceiveFlags receive_flags,
                                int flags, ReceivedMessage& message, Received& result);

}  // namespace millrace::posix
