#include <millrace/socket.h>

#include "socket_calls.h"

namespace millrace::posix::test {

const SocketCalls& stack_calls() {
  static const SocketCalls calls{
      MR_FIRST_FD, mr_socket,   mr_bind,        mr_listen,        mr_accept4,    mr_connect,
      mr_send,     mr_sendto,   mr_sendmsg,     mr_recv,          mr_recvfrom,   mr_recvmsg,
      mr_sendmmsg, mr_recvmmsg, mr_read,        mr_write,         mr_readv,      mr_writev,
      mr_shutdown, mr_close,    mr_getsockname, mr_getpeername,   mr_getsockopt, mr_setsockopt,
      mr_fcntl,    mr_ioctl,    mr_poll,        mr_epoll_create1, mr_epoll_ctl,  mr_epoll_wait,
  };
  return calls;
}

}  // namespace millrace::posix::test
