/*
 * Millrace: the socket calls of a TCP/IP stack that lives in your program.
 *
 * Every mr_ call behaves as the Linux call of the same name without the prefix: the same arguments, the same
 * results, the same errno in the same situation; its manual page (section 2, and socket(7), ip(7), tcp(7),
 * udp(7)) is its documentation. This header tells what differs and what is added. It is C99 and C++ clean,
 * and needs nothing but the system's headers.
 *
 *     #include <millrace/socket.h>
 *
 *     int main(void) {
 *       struct mr_config config = {sizeof config};      // all else unset: from the environment, see below
 *       config.device = "af_packet:veth1";
 *       config.address = "198.18.0.1/24";
 *       if (mr_init(&config) != 0) {
 *         fprintf(stderr, "%s\n", mr_last_error());
 *         return 1;
 *       }
 *       int fd = mr_socket(AF_INET, SOCK_STREAM, 0);
 *       ...
 *       mr_close(fd);
 *       mr_finish();
 *     }
 *
 * Compile and link with `pkg-config --cflags --libs millrace`.
 *
 * DESCRIPTORS. mr_socket, mr_accept, mr_accept4 and mr_epoll_create1 return descriptors of Millrace: numbers
 * from MR_FIRST_FD (2^30) up, the lowest free one first. They are no kernel descriptors: read(2), close(2),
 * poll(2) and the like fail on them with EBADF, as mr_ calls fail with EBADF on a kernel descriptor. Only
 * mr_poll, mr_ppoll and mr_epoll_* take both kinds, mixed as you like. They do not fit into an fd_set, so
 * there is no mr_select. They do not survive exec(), and a child made by fork() must not use them.
 *
 * THREADS. Any thread may use any descriptor, at the same time. Closing a descriptor in which another thread
 * is blocked wakes that thread: its call fails with EBADF. (Linux leaves it blocked.) mr_init and mr_finish
 * are the exception: no other mr_ call may run beside them. No mr_ call may be made from a signal handler.
 *
 * SIGNALS. A blocked call that a signal handler interrupts behaves as signal(7) has it: mr_poll, mr_ppoll,
 * mr_epoll_wait, mr_epoll_pwait and calls with SO_RCVTIMEO or SO_SNDTIMEO fail with EINTR; the others go on
 * when the handler was installed with SA_RESTART, and fail with EINTR otherwise. (Where handlers of both
 * kinds are installed for signals that the thread does not block, EINTR.) Sending on a stream whose write
 * half is shut raises SIGPIPE unless MSG_NOSIGNAL was given.
 *
 * QUEUES. With mr_config.queues above 1 a stack runs on each of so many queues of the device, and they share
 * nothing, so that threads on as many cores do not wait for each other. A thread gets one of them, in turn,
 * with its first call that makes or waits for a descriptor; a socket lives where the thread lives that made
 * it, an accepted one where its frames come in. Any thread may use any descriptor all the same; what a thread
 * finds in its own queue is cheapest. A listener, and a UDP socket that is bound or has sent to more than one
 * peer, is there in every queue, each with a backlog and a receive buffer of its own: mr_accept and
 * mr_recvfrom look in the thread's own queue first. Listeners that share a port by SO_REUSEPORT get what
 * comes in by the queue they were made in.
 *
 * OWNERSHIP. Nothing you pass is kept: buffers, addresses and configuration may be reused as soon as the call
 * returns.
 *
 * MILLRACE'S OWN ERRORS, besides those of the manual pages: ENETDOWN when there is no stack (mr_init was not
 * called and could not be done from the environment: mr_last_error() tells why); EFAULT only for null
 * pointers: a wild one crashes, as in any library.
 */
#ifndef MILLRACE_SOCKET_H
#define MILLRACE_SOCKET_H

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MR_API __attribute__((visibility("default")))
#else
#define MR_API
#endif

/* The lowest Millrace descriptor. Kernel descriptors stay below fs.nr_open, which is 2^20 unless raised. */
#define MR_FIRST_FD (1 << 30)

/* ---- Setting up -------------------------------------------------------------------------------- */

/*
 * What the stack runs on. Zero the structure, set struct_size to sizeof(struct mr_config), then what you care
 * for. A field that is null or 0 is unset and comes from the environment variable named beside it, and where
 * that is unset or empty too, from the default. So the precedence is: this structure, the environment, the
 * default.
 */
struct mr_config {
  /* sizeof(struct mr_config): fields behind it are unset. */
  size_t struct_size;
  /* MILLRACE_DEV. "af_packet:veth1", "pipe:a", ...; "none": only the stack's own loopback. Required. */
  const char* device;
  /* MILLRACE_ADDR. "198.18.0.1/24"; several with commas. Required but for device "none". */
  const char* address;
  /* MILLRACE_GW. "198.18.0.254": the default route. Default: none. */
  const char* gateway;
  /* MILLRACE_MTU. Bytes of an IP packet, 576 to 65535. Default: the device's. */
  unsigned mtu;
  /* MILLRACE_POOL_BYTES. Bytes of packet memory at most. Default: 256 MiB. */
  size_t pool_bytes;
  /* MILLRACE_BUSY_POLL_US. Microseconds for which a waiting call polls the device before it sleeps. Large
   * values burn a core. -1: sleep at once. Default: as long as it has lately paid off, at most 50, and not at
   * all when idle. */
  int busy_poll_us;
  /* MILLRACE_DRAIN_MS. Milliseconds mr_finish waits until queued data and FINs are acknowledged. -1: do not
   * wait. Default: 2000. */
  int drain_ms;
  /* MILLRACE_MAX_FDS. Descriptors at most (then EMFILE), up to 2^24. Default: 2^20. */
  unsigned max_descriptors;
  /* MILLRACE_CAPTURE. "FILE" or "FILE,FILTER": what passes through the device is recorded into this pcapng
   * file, both ways, with a comment on each frame that was dropped; of all, or of what a filter in the
   * language of tcpdump(1) wants. Default: nothing. */
  const char* capture;
  /* MILLRACE_CAPTURE_LIMIT. Bytes of that file, at most; then recording ends. Default: no limit. */
  size_t capture_limit;
  /* MILLRACE_CAPTURE_SNAPLEN. Bytes of a frame that are recorded, at most. Default: 262144, all. */
  unsigned capture_snaplen;
  /* MILLRACE_TCP. "congestion_control=bbr;ecn=1": values of TCP, by the names and in the units of Linux's
   * net.ipv4.tcp_ sysctls, with ';' between them. `millrace settings` lists all of them, their ranges and
   * defaults. What is not named here comes from the environment, name by name. */
  const char* tcp;
  /* MILLRACE_QUEUES. Queues of the device that are used, up to 64, each with a stack of its own: see QUEUES
   * above. What pool_bytes says is shared out among them. Default: 1. */
  unsigned queues;
  /* MILLRACE_TX_BATCH. What so many sends transmit, 1 to 1024, may leave together: less work for a device for
   * which a burst costs little more than a frame (DPDK, AF_XDP). None waits for more of them than half of the
   * events that epoll_wait told of last, nor than are left of these. It leaves earlier when a call waits or
   * finds nothing, when another thread waits, and with the first send after 50 µs; and after 8 ms at most
   * when the program makes no call. 1: each leaves by itself. Default: up to 16 for a program that, as it
   * turns out, makes its next call within 50 µs of such a send; once it does not, 10,000 sends go by before
   * one waits again. */
  unsigned tx_batch;
};

/*
 * Opens the device and starts the stack. config may be null: all from the environment. Two threads of
 * Millrace's own are started, which block all signals: one keeps acknowledgements, retransmissions and FINs
 * going while the program computes; the other sleeps until the commands `millrace ss` and `millrace stats`
 * ask, on a socket in the directory MILLRACE_RUN_DIR, by default /run/millrace. Where that socket cannot be
 * made the program runs all the same, without it. A program that never calls mr_init gets mr_init(NULL) with
 * its first mr_socket or mr_epoll_create1.
 *
 * Returns 0, or -1 with errno and one clear line in mr_last_error(): EINVAL (a malformed or missing value),
 * ENODEV (the device could not be opened: there is none, no privilege, ...), ENOMEM, EALREADY (already set
 * up).
 */
MR_API int mr_init(const struct mr_config* config);

/* Why the calling thread's last mr_init failed (also when done by mr_socket): one line without newline; "" if
 * none has. Valid until the thread's next mr_init, or its end. */
MR_API const char* mr_last_error(void);

/*
 * Closes all descriptors, waits up to drain_ms until the peers have acknowledged what was sent, answers those
 * that close in return (a peer that does not within 20 ms keeps its side open, as nobody is here to answer),
 * and ends the stack. Afterwards mr_init may be called again. Called at exit() for a program that did not.
 * Not for signal handlers.
 */
MR_API void mr_finish(void);

/*
 * Calls visit once for each counter, with names like "tcp.TcpRetransSegs", "pool.BytesInUse"
 * and a value as of one moment. Counters only grow but for those that name a present amount. `name` is valid
 * during the call; visit may call any mr_ function. Returns how many counters there were, or -1 with
 * ENETDOWN.
 */
MR_API int mr_stats(void (*visit)(void* arg, const char* name, uint64_t value), void* arg);

/* "0.1.0" */
MR_API const char* mr_version(void);

/* ---- Sockets ----------------------------------------------------------------------------------- */

/* AF_INET or AF_INET6 with SOCK_STREAM (0 or IPPROTO_TCP) or SOCK_DGRAM (0 or IPPROTO_UDP), and
 * SOCK_NONBLOCK, SOCK_CLOEXEC. A socket of AF_INET6 speaks IPv4 through mapped addresses (::ffff:198.18.0.1),
 * and ::1 on the stack's own loopback; there is no IPv6 on the wire yet: binding to other addresses is
 * EADDRNOTAVAIL, connecting or sending to them ENETUNREACH, as on a host without an IPv6 route. EAFNOSUPPORT,
 * ESOCKTNOSUPPORT, EPROTONOSUPPORT, EINVAL, EMFILE, ENOMEM. socket(2), ipv6(7) */
MR_API int mr_socket(int domain, int type, int protocol);

/* An address of the stack, INADDR_ANY, or :: (both families unless IPV6_V6ONLY is set), ::1; port 0 takes a
 * free one from 32768 to 60999 (RFC 6056). bind(2) */
MR_API int mr_bind(int fd, const struct sockaddr* address, socklen_t length);
MR_API int mr_listen(int fd, int backlog);
MR_API int mr_accept(int fd, struct sockaddr* address, socklen_t* length);
MR_API int mr_accept4(int fd, struct sockaddr* address, socklen_t* length, int flags);
/* To an address of the stack itself, 127/8 or ::1: reaches listeners of this program only. AF_UNSPEC
 * dissolves a UDP socket's association. connect(2) */
MR_API int mr_connect(int fd, const struct sockaddr* address, socklen_t length);
MR_API int mr_shutdown(int fd, int how);
/* Frees the number at once. With SO_LINGER, waits as Linux does; else data and FIN are delivered in the
 * background. close(2) */
MR_API int mr_close(int fd);

/* Flags of the sending calls: MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_MORE, MSG_EOR, MSG_DONTROUTE (no
 * effect), MSG_CONFIRM (no effect), MSG_ZEROCOPY (no effect, as without SO_ZEROCOPY), MSG_FASTOPEN (connects
 * a stream to the address, with data in the SYN when there is a cookie of that server; without one
 * EINPROGRESS if it may not block); others EOPNOTSUPP. A blocking call on a stream returns when all bytes are
 * queued. send(2) */
MR_API ssize_t mr_send(int fd, const void* data, size_t size, int flags);
MR_API ssize_t mr_sendto(int fd, const void* data, size_t size, int flags, const struct sockaddr* to,
                         socklen_t length);
/* Ancillary data, of a datagram: IP_PKTINFO (ipi_spec_dst: the source), IP_TOS, IP_TTL; to ::1 and mapped
 * addresses IPV6_PKTINFO, and to ::1 IPV6_TCLASS, IPV6_HOPLIMIT. SO_PRIORITY and SO_MARK are taken as hints.
 * EINVAL for what is unknown at these levels or malformed, ENODEV for an interface that does not exist. As in
 * Linux, other levels are passed over, and so are SCM_RIGHTS and SCM_CREDENTIALS. sendmsg(2), cmsg(3) */
MR_API ssize_t mr_sendmsg(int fd, const struct msghdr* message, int flags);
/* struct mmsghdr needs _GNU_SOURCE. Up to 1024 messages, as long as they can be sent; an error counts only
 * for the first. sendmmsg(2) */
struct mmsghdr;
MR_API int mr_sendmmsg(int fd, struct mmsghdr* messages, unsigned int count, int flags);
MR_API ssize_t mr_write(int fd, const void* data, size_t size);
MR_API ssize_t mr_writev(int fd, const struct iovec* slices, int count);

/* Flags of the receiving calls: MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, MSG_OOB, MSG_TRUNC, MSG_CMSG_CLOEXEC (no
 * effect); MSG_ERRQUEUE finds nothing (EAGAIN). recv(2) */
MR_API ssize_t mr_recv(int fd, void* data, size_t size, int flags);
MR_API ssize_t mr_recvfrom(int fd, void* data, size_t size, int flags, struct sockaddr* from,
                           socklen_t* length);
/* Writes msg_name, msg_flags (MSG_TRUNC, MSG_OOB, MSG_CTRUNC) and the ancillary data that options ask for:
 * SO_TIMESTAMP, SO_TIMESTAMPNS, TCP_INQ, IP_PKTINFO, IP_RECVTOS, IP_RECVTTL, IP_RECVORIGDSTADDR and those of
 * IPv6. The number of an interface is 1 for the stack's own loopback, and 2 and up for its devices in their
 * order: not the kernel's. recvmsg(2), cmsg(3) */
MR_API ssize_t mr_recvmsg(int fd, struct msghdr* message, int flags);
/* MSG_WAITFORONE: does not wait for the second one. *timeout (null: none) is looked at after each message and
 * becomes what is left of it; it does not end a wait for a message. recvmmsg(2) */
struct timespec;
MR_API int mr_recvmmsg(int fd, struct mmsghdr* messages, unsigned int count, int flags,
                       struct timespec* timeout);
MR_API ssize_t mr_read(int fd, void* data, size_t size);
MR_API ssize_t mr_readv(int fd, const struct iovec* slices, int count);

/*
 * WITHOUT A COPY, on a stream. Both are worth it for large transfers only.
 *
 * mr_send_zc sends as mr_writev does, but what is sent stays in your memory: it must stay as it is, and
 * there, until done(argument) is called. That is when the peer has acknowledged it, or the connection is
 * over, and no packet and no device needs it any more; in mr_finish at the latest, and perhaps before
 * mr_send_zc returns. done is called once for each call that returned more than 0, and for no other. It is
 * called by whichever thread finds it out, which may be one of Millrace's own or one inside another mr_ call:
 * it must not block, and may call mr_ functions that do not. Also after mr_close(fd). Slices below 4096 bytes
 * are copied. A copy is made as well by devices that can send from memory of their own alone (xdp, dpdk).
 * Flags: MSG_DONTWAIT, MSG_NOSIGNAL, MSG_MORE, MSG_EOR; others, and a socket that is no stream: EOPNOTSUPP.
 * Other errors as writev(2) and send(2); EFAULT for a null done.
 *
 * mr_recv_zc waits as mr_recv does, and then points `slices`, at most *count of them and at most 64, to bytes
 * that were received, takes these out of the stream, and says in *count how many slices it filled. They may
 * be read, not written, until mr_give_back(*loan), which any thread may call, once; mr_finish ends all loans,
 * too. Loans do not hold the window back, but they occupy the stack's memory: with too much out on loan, or
 * queued for sending, ENOBUFS: give back, or use mr_recv. At the end of the stream: 0, *count 0 and *loan
 * null. Flags: MSG_DONTWAIT; others, and a socket that is no stream: EOPNOTSUPP. EINVAL: *count is not
 * positive. Other errors as recv(2).
 */
struct mr_loan;
MR_API ssize_t mr_send_zc(int fd, const struct iovec* slices, int count, int flags,
                          void (*done)(void* argument), void* argument);
MR_API ssize_t mr_recv_zc(int fd, struct iovec* slices, int* count, int flags, struct mr_loan** loan);
/* Null: nothing happens. */
MR_API void mr_give_back(struct mr_loan* loan);

MR_API int mr_getsockname(int fd, struct sockaddr* address, socklen_t* length);
MR_API int mr_getpeername(int fd, struct sockaddr* address, socklen_t* length);

/*
 * Levels SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6 (on sockets of AF_INET6), IPPROTO_TCP; values, ranges and
 * errors are Linux's: socket(7), ip(7), ipv6(7), tcp(7). An option that is not named here: ENOPROTOOPT, never
 * a false success. An accepted socket has its listener's options.
 *
 * Implemented, where the protocol has them:
 *   SO_REUSEADDR, SO_REUSEPORT, SO_BROADCAST, SO_KEEPALIVE, SO_LINGER, SO_SNDBUF, SO_RCVBUF (silently
 * clamped, read back doubled), SO_SNDBUFFORCE, SO_RCVBUFFORCE (CAP_NET_ADMIN, else EPERM), SO_RCVLOWAT,
 * SO_OOBINLINE, SO_RCVTIMEO, SO_SNDTIMEO, SO_TIMESTAMP, SO_TIMESTAMPNS (when the stack took the frame in);
 * read only: SO_ERROR, SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN, SO_SNDLOWAT (1), SO_COOKIE,
 * SO_PEERCRED (of nobody), SO_MEMINFO; IP_TOS, IP_TTL, IP_MTU_DISCOVER (stream: not PROBE and beyond),
 * IP_MTU, IP_PKTINFO, IP_RECVTOS, IP_RECVTTL, IP_RECVORIGDSTADDR, IP_MULTICAST_TTL, IP_FREEBIND (one can
 * listen, not speak), IP_BIND_ADDRESS_NO_PORT; IPV6_V6ONLY (before bind, else EINVAL), IPV6_RECVPKTINFO (IPv4
 * mapped), IPV6_FREEBIND, and for what is sent to ::1 IPV6_TCLASS, IPV6_UNICAST_HOPS, IPV6_RECVTCLASS,
 * IPV6_RECVHOPLIMIT: as in Linux, IP_TOS and its kin are what counts for IPv4 on a socket of AF_INET6;
 *   TCP_NODELAY, TCP_CORK, TCP_QUICKACK, TCP_MAXSEG, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT,
 *   TCP_USER_TIMEOUT, TCP_DEFER_ACCEPT (of a listener), TCP_LINGER2, TCP_SYNCNT, TCP_NOTSENT_LOWAT,
 *   TCP_CONGESTION ("cubic", the default, "reno", "bbr", "dctcp"; others ENOENT), TCP_INQ, TCP_INFO,
 *   TCP_CC_INFO (empty), TCP_FASTOPEN (of a listener: how many connections may be in use before their
 *   handshake is through; unlike in Linux no other switch is needed), TCP_FASTOPEN_CONNECT,
 *   TCP_FASTOPEN_NO_COOKIE.
 * Until SO_SNDBUF is set, a stream's send buffer grows by itself.
 *
 * Hints, kept and read back: SO_PRIORITY and SO_MARK (EPERM as in Linux), SO_INCOMING_CPU, SO_BUSY_POLL (see
 * busy_poll_us for what the stack does), IP_MULTICAST_LOOP, IP_MULTICAST_ALL, IPV6_MULTICAST_HOPS,
 * IPV6_MULTICAST_LOOP, IPV6_MTU_DISCOVER, IPV6_DONTFRAG.
 *
 * Off, and cannot be switched on (ENOPROTOOPT; SO_ZEROCOPY 524, Linux's ENOTSUPP): SO_ZEROCOPY, SO_DONTROUTE,
 * IP_RECVERR, IP_TRANSPARENT, IP_RECVOPTS, IP_RETOPTS, IP_OPTIONS, IPV6_RECVERR, IPV6_TRANSPARENT,
 * SO_BINDTODEVICE (but ""), SO_MAX_PACING_RATE (but without a limit). No multicast group can be joined.
 */
MR_API int mr_getsockopt(int fd, int level, int option, void* value, socklen_t* length);
MR_API int mr_setsockopt(int fd, int level, int option, const void* value, socklen_t length);

/* F_GETFL, F_SETFL (O_NONBLOCK), F_GETFD, F_SETFD (FD_CLOEXEC, remembered only); others EINVAL. fcntl(2) */
MR_API int mr_fcntl(int fd, int command, ...);
/* FIONBIO, FIONREAD (SIOCINQ), TIOCOUTQ (SIOCOUTQ), SIOCATMARK; others ENOTTY. ioctl(2), tcp(7), udp(7) */
MR_API int mr_ioctl(int fd, unsigned long request, ...);

/* ---- Waiting ----------------------------------------------------------------------------------- */
/*
 * Descriptors of both kinds may be mixed. Timeouts are kept to the unit they are given in. A wait first
 * looks, then polls the device for a bounded time if traffic has lately been quick (see busy_poll_us), then
 * sleeps; it needs no helper thread to be woken by.
 */

/* Milliseconds; negative: for ever. poll(2) */
MR_API int mr_poll(struct pollfd* fds, nfds_t count, int timeout_ms);
/* A null timeout: for ever. Unlike the system call it leaves *timeout as it was. ppoll(2) */
MR_API int mr_ppoll(struct pollfd* fds, nfds_t count, const struct timespec* timeout, const sigset_t* mask);

/*
 * An epoll set of both kinds: EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, EPOLLERR, EPOLLHUP, level-triggered or
 * with EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE. The set can be waited for with mr_poll and put into another set
 * (ELOOP: a circle, or more than five deep). Kernel descriptors that you close leave the set as they do in
 * the kernel. epoll(7)
 */
MR_API int mr_epoll_create1(int flags);
MR_API int mr_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event* event);
MR_API int mr_epoll_wait(int epoll_fd, struct epoll_event* events, int max_events, int timeout_ms);
MR_API int mr_epoll_pwait(int epoll_fd, struct epoll_event* events, int max_events, int timeout_ms,
                          const sigset_t* mask);

#ifdef __cplusplus
}
#endif

#endif
