// Functions of the C library that packetdrill calls past the interface, on descriptors that are the stack's:
// tcp_info for a script's code, descriptors left open, sendfile(2). They take effect with LD_PRELOAD of this
// library.
#include "packetdrill/preload.h"

#include <errno.h>
#include <millrace/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "packetdrill/adapter.h"
#include "packetdrill/kernel_calls.h"

namespace millrace::packetdrill {

namespace {

int own_fd(int fd) {
  Adapter* const current = adapter();
  return current == nullptr ? -1 : current->descriptors().find(fd);
}

ssize_t send_file(int own, int in, off_t* offset, size_t size) {
  size_t done = 0;
  std::vector<char> bytes(std::min<size_t>(size, 65536));
  while (done < size) {
    const size_t wanted = std::min(size - done, bytes.size());
    const auto got = offset != nullptr ? kernel<ssize_t>(SYS_pread64, in, bytes.data(), wanted, *offset)
                                       : kernel<ssize_t>(SYS_read, in, bytes.data(), wanted);
    if (got < 0 && done == 0) return -1;
    if (got <= 0) break;
    const ssize_t sent = mr_send(own, bytes.data(), static_cast<size_t>(got), 0);
    if (sent < 0 && done == 0) return -1;
    if (sent <= 0) break;
    if (offset != nullptr) *offset += sent;
    done += static_cast<size_t>(sent);
    if (sent < got) break;
  }
  return static_cast<ssize_t>(done);
}

/// FreeBSD rounds the buffer of a connection up to whole segments.
int as_whole_segments(int own, int bytes) {
  tcp_info info{};
  socklen_t length = sizeof info;
  const bool connected = mr_getsockopt(own, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
                         info.tcpi_state != TCP_SYN_SENT && info.tcpi_state != TCP_LISTEN &&
                         info.tcpi_state != TCP_CLOSE;
  if (!connected) return bytes;
  constexpr int kHeaders = 40;
  const int segment = static_cast<int>(adapter()->mtu()) - kHeaders;
  return (bytes + segment - 1) / segment * segment;
}

}  // namespace

int close_any(int fd) {
  const int own = own_fd(fd);
  if (own < 0) return kernel<int>(SYS_close, fd);
  adapter()->descriptors().forget(fd);
  const int result = mr_close(own);
  const int error = errno;
  static_cast<void>(kernel<int>(SYS_close, fd));
  errno = error;
  return result;
}

int getsockopt_any(int fd, int level, int option, void* value, socklen_t* length) {
  const int own = own_fd(fd);
  if (own < 0) return kernel<int>(SYS_getsockopt, fd, level, option, value, length);
  const bool padded = level == IPPROTO_TCP && option == TCP_INFO && value != nullptr && length != nullptr;
  const socklen_t room = padded ? *length : 0;
  const int result = mr_getsockopt(own, level, option, value, length);
  const bool size = level == SOL_SOCKET && (option == SO_RCVBUF || option == SO_SNDBUF);
  if (result == 0 && size && adapter()->plain_buffer_sizes() && *length == sizeof(int)) {
    int number;
    std::memcpy(&number, value, sizeof number);
    number /= 2;
    if (option == SO_RCVBUF) number = as_whole_segments(own, number);
    std::memcpy(value, &number, sizeof number);
  }
  if (result == 0 && padded && *length < room) {
    // packetdrill insists on the fields of the kernels since, whose counts here are none.
    std::memset(static_cast<char*>(value) + *length, 0, room - *length);
    *length = room;
  }
  return result;
}

}  // namespace millrace::packetdrill

namespace pd = millrace::packetdrill;

extern "C" {

__attribute__((visibility("default"))) int close(int fd) {
  return pd::close_any(fd);
}

__attribute__((visibility("default"))) int getsockopt(int fd, int level, int option, void* __restrict value,
                                                      socklen_t* __restrict length) noexcept {
  return pd::getsockopt_any(fd, level, option, value, length);
}

// Under this name whatever the width of off_t, which on 64-bit machines is one.
__attribute__((visibility("default"))) ssize_t preloaded_sendfile(int out, int in, off_t* offset,
                                                                  size_t size) asm("sendfile");
ssize_t preloaded_sendfile(int out, int in, off_t* offset, size_t size) {
  const int own = pd::own_fd(out);
  return own < 0 ? pd::kernel<ssize_t>(SYS_sendfile, out, in, offset, size)
                 : pd::send_file(own, in, offset, size);
}
}
