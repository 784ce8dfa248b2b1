#pragma once

namespace millrace::drivers::dpdk {

/// Of descriptors that are readable when somebody is to wake; -1: there is none, nor anything there.
[[nodiscard]] bool is_readable(int fd);
/// Takes one count off it if there is one, and never waits, whoever else may read there, too. False: nothing
/// was taken, as this file's readers cannot but wait.
[[nodiscard]] bool take_wake(int fd);

}  // namespace millrace::drivers::dpdk
