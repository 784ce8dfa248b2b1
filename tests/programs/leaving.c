/* Sends a file over a connection and is gone at once: leaving HOST PORT FILE HOW. What the kernel would still deliver,
   must arrive. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char* what) {
  perror(what);
  _exit(1);
}

int main(int count, char** words) {
  if (count != 5) return 2;
  const char* how = words[4];
  const int file = open(words[3], O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) fail(words[3]);
  const size_t size = (size_t)status.st_size;
  char* data = malloc(size);
  if (data == NULL || read(file, data, size) != (ssize_t)size) fail("read");

  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[2]))};
  inet_pton(AF_INET, words[1], &to.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr*)&to, sizeof to) != 0) fail("connect");
  for (size_t sent = 0; sent < size;) {
    const ssize_t now = write(fd, data + sent, size - sent);
    if (now < 0) fail("write");
    sent += (size_t)now;
  }
  if (strstr(how, "close")) close(fd);
  if (strstr(how, "quick")) quick_exit(0);
  if (strstr(how, "_exit")) _exit(0);
  if (strstr(how, "exec")) {
    execl("/bin/true", "true", (char*)NULL);
    fail("exec");
  }
  if (strstr(how, "exit")) exit(0);
  return 0;
}
