/* Threads cancelled in blocking calls leave the stack, and what they waited for, as usable as before:
   cancel HOST PORT ROUNDS, with an echo server there. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int connection, listener, epoll_set;

static void* in_recv(void* unused) {
  char byte;
  recv(connection, &byte, 1, 0);
  return unused;
}
static void* in_read(void* unused) {
  char byte;
  return read(connection, &byte, 1) == 1 ? &connection : unused;
}
static void* in_accept(void* unused) {
  accept(listener, NULL, NULL);
  return unused;
}
static void* in_poll(void* unused) {
  struct pollfd both[2] = {{connection, POLLIN, 0}, {listener, POLLIN, 0}};
  poll(both, 2, -1);
  return unused;
}
static void* in_epoll(void* unused) {
  struct epoll_event event;
  epoll_wait(epoll_set, &event, 1, -1);
  return unused;
}

static int fail(const char* what) {
  perror(what);
  return 1;
}

static int echoes(void) {
  char text[4] = "ping", back[4] = "";
  return send(connection, text, 4, 0) == 4 && recv(connection, back, 4, MSG_WAITALL) == 4 && memcmp(text, back, 4) == 0;
}

int main(int count, char** words) {
  if (count != 4) return 2;
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[2]))};
  inet_pton(AF_INET, words[1], &server.sin_addr);
  connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(connection, (struct sockaddr*)&server, sizeof server) != 0) return fail("connect");
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(5555)};
  listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr*)&any, sizeof any) != 0 || listen(listener, 5) != 0) return fail("listen");
  epoll_set = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  if (epoll_ctl(epoll_set, EPOLL_CTL_ADD, connection, &event) != 0) return fail("epoll_ctl");

  void* (*const calls[])(void*) = {in_recv, in_read, in_accept, in_poll, in_epoll};
  for (int round = 0; round < atoi(words[3]); ++round) {
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; ++i) {
      pthread_t thread;
      if (pthread_create(&thread, NULL, calls[i], NULL) != 0) return fail("pthread_create");
      /* Asleep in its call, about to be, or not there yet. */
      const struct timespec pause = {0, round % 4 * 400000};
      nanosleep(&pause, NULL);
      pthread_cancel(thread);
      void* result = NULL;
      pthread_join(thread, &result);
      if (result != PTHREAD_CANCELED) return fail("a thread ended otherwise");
      if (!echoes()) return fail("the connection is not what it was");
    }
  }
  puts("right");
  return 0;
}
