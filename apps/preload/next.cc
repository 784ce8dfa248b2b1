#include "next.h"

#include <dlfcn.h>

namespace millrace::preload {

Next next{};

namespace {

template <typename Function>
void find(Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

void find_next() {
  find(next.accept4, "accept4");
  find(next.close, "close");
  find(next.connect, "connect");
  find(next.epoll_pwait, "epoll_pwait");
  find(next.execve, "execve");
  find(next.execvpe, "execvpe");
  find(next.fexecve, "fexecve");
  find(next.fdopen, "fdopen");
  find(next.getaddrinfo, "getaddrinfo");
  find(next.getnameinfo, "getnameinfo");
  find(next.ppoll, "ppoll");
  find(next.pselect, "pselect");
  find(next.posix_spawn, "posix_spawn");
  find(next.posix_spawnp, "posix_spawnp");
  find(next.pthread_create, "pthread_create");
  find(next.read, "read");
  find(next.readv, "readv");
  find(next.recvfrom, "recvfrom");
  find(next.recvmsg, "recvmsg");
  find(next.recvmmsg, "recvmmsg");
  find(next.sendfile, "sendfile64");
  find(next.sendmsg, "sendmsg");
  find(next.sendmmsg, "sendmmsg");
  find(next.sendto, "sendto");
  find(next.sigaction, "sigaction");
  find(next.splice, "splice");
  find(next.write, "write");
  find(next.writev, "writev");
}

}  // namespace millrace::preload
