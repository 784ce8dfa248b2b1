/* A handler that sends, writes and closes, a thousand times a second, in threads that are inside of socket calls all the
   time: signals HOST PORT ECHO-PORT SECONDS. Says how many bytes it has sent and how many sockets it has closed. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { kThreads = 2, kSpare = 200 };

static struct sockaddr_in server, echo_server;
static int stream[kThreads];
static int second_stream;
static int spare[kSpare];
static volatile int closed, calls, over;
static unsigned long long sent_by_handler, sent_by_threads, echoed;

static int open_one(const struct sockaddr_in* to) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr*)to, sizeof *to) != 0) {
    perror("connect");
    _exit(1);
  }
  return fd;
}

static void on_signal(int number) {
  (void)number;
  const int call = __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
  ssize_t sent = send(stream[call % kThreads], "s", 1, MSG_DONTWAIT);
  if (sent > 0) __atomic_fetch_add(&sent_by_handler, 1, __ATOMIC_RELAXED);
  sent = write(second_stream, "w", 1);
  if (sent > 0) __atomic_fetch_add(&sent_by_handler, 1, __ATOMIC_RELAXED);
  if (call % 8 == 0) {
    const int at = __atomic_fetch_add(&closed, 1, __ATOMIC_RELAXED);
    if (at < kSpare) close(spare[at]);
  }
}

static void* work(void* own) {
  const int fd = *(int*)own;
  static char data[20000];
  while (!over) {
    const ssize_t sent = send(fd, data, sizeof data, 0);
    if (sent > 0) __atomic_fetch_add(&sent_by_threads, (unsigned long long)sent, __ATOMIC_RELAXED);
    (void)recv(fd, data, 1, MSG_DONTWAIT);
  }
  return NULL;
}

/* A question, a wait of one kind or another, which signals end early, and the answer. */
static void* ask(void* how) {
  const int fd = open_one(&echo_server), set = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
  while (!over) {
    char question[100] = "question", answer[100];
    size_t got = 0;
    ssize_t done;
    do {
      done = send(fd, question, sizeof question, 0);
    } while (done < 0 && errno == EINTR);
    while (got < sizeof answer) {
      struct pollfd one = {fd, POLLIN, 0};
      if (*(char*)how == 'p') poll(&one, 1, -1);
      if (*(char*)how == 'e') epoll_wait(set, &event, 1, -1);
      done = recv(fd, answer + got, sizeof answer - got, *(char*)how == 'r' ? 0 : MSG_DONTWAIT);
      if (done > 0) got += (size_t)done;
      if (done == 0 || (done < 0 && errno != EINTR && errno != EAGAIN)) {
        perror("recv");
        _exit(1);
      }
    }
    if (memcmp(question, answer, sizeof answer) != 0) _exit(3);
    __atomic_fetch_add(&echoed, 1, __ATOMIC_RELAXED);
  }
  close(fd);
  return NULL;
}

int main(int count, char** words) {
  if (count != 5) return 2;
  server.sin_family = AF_INET;
  server.sin_port = htons((unsigned short)atoi(words[2]));
  inet_pton(AF_INET, words[1], &server.sin_addr);
  echo_server = server;
  echo_server.sin_port = htons((unsigned short)atoi(words[3]));
  for (int i = 0; i < kThreads; ++i) stream[i] = open_one(&server);
  second_stream = open_one(&server);
  for (int i = 0; i < kSpare; ++i) spare[i] = open_one(&server);

  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, NULL);
  const struct itimerval tick = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &tick, NULL);
  pthread_t other[4];
  pthread_create(&other[0], NULL, work, &stream[1]);
  pthread_create(&other[1], NULL, ask, "recv");
  pthread_create(&other[2], NULL, ask, "poll");
  pthread_create(&other[3], NULL, ask, "epoll");
  const time_t end = time(NULL) + atoi(words[4]) + 1;
  while (time(NULL) < end) {
    static char data[20000];
    const ssize_t sent = send(stream[0], data, sizeof data, 0);
    if (sent > 0) __atomic_fetch_add(&sent_by_threads, (unsigned long long)sent, __ATOMIC_RELAXED);
  }
  over = 1;
  for (int i = 0; i < 4; ++i) pthread_join(other[i], NULL);
  setitimer(ITIMER_REAL, &off, NULL);
  printf("calls %d sent %llu closed %d echoed %llu\n", calls, sent_by_handler + sent_by_threads,
         closed < kSpare ? closed : kSpare, echoed);
  return 0;
}
