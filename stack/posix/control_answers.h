#pragma once

#include <span>

namespace millrace::posix {

class Context;
class ControlChannel;
class FdTable;

/// Reads one request of a client and answers it. The protocol is text in lines, a version in each request:
///
///     > sockets 1 info fds
///     < millrace 1 pid=4711 uid=0 version=0.1.0 name=millrace-echo
///     < socket net=tcp state=LISTEN recvq=0 sendq=4096 local=0.0.0.0:7 peer=0.0.0.0:0 fd=1073741824 ...
///     < socket net=tcp state=ESTAB recvq=0 sendq=12 local=198.18.0.2:7 peer=198.18.0.1:40000 ...
///     < end
///
///     > stats 1
///     < millrace 1 ...
///     < stat ip.IpInReceives=17
///     < end
///
///     > sockets 9
///     < error this program speaks version 1
///
/// One request a connection. After the request's version come words that ask for more than the least: `info`
/// (what TCP_INFO has), `fds` (descriptors, for which the whole table is searched). An answer that does not
/// end with `end` is incomplete. A client ignores keys and lines that it does not know, so that more can be
/// added.
///
/// Sockets are told in pieces, between which the lock is free: no piece is long, and what is listed is not
/// one moment's truth, as it is not in the kernel's lists.
///
/// Of several contexts, sockets are told one context after the other, with `queue`, and counters are sums.
/// What the program sees as one socket, and is in each of them, is told so often, with the same number after
/// `part_of`.
void answer_request(std::span<Context* const> contexts, FdTable& fds, ControlChannel& channel);

}  // namespace millrace::posix
