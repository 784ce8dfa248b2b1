// Prints what a fresh stream socket starts with, a word a line; then listens until its input ends.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

int main() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  char congestion[16] = "";
  socklen_t length = sizeof congestion;
  if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &length) != 0) return 1;
  int idle = 0, buffer = 0;
  length = sizeof idle;
  if (getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &length) != 0) return 1;
  if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, &length) != 0) return 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(4242);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  if (bind(fd, name, sizeof address) != 0 || listen(fd, 1) != 0) return 1;
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(client, name, sizeof address) != 0) return 1;
  std::printf("%s\n%d\n%d\n", congestion, idle, buffer);
  std::fflush(stdout);
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}
