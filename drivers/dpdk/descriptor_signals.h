#pragma once

namespace millrace::drivers::dpdk {

/// net_tap learns by a signal of its descriptors (fcntl(2), F_SETSIG) that there are frames, and has it sent
/// to the process: to whichever thread of the program does not block it, where it ends calls with EINTR, or,
/// when all do, to nobody. Has these signals of TAP descriptors sent to the calling thread, which takes them
/// from now on. Those of a process under way are not lost: the kernel sends one for each frame.
void take_tap_signals();

}  // namespace millrace::drivers::dpdk
