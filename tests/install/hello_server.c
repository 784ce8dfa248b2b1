/* A server as somebody outside of this tree would write it: greets whoever connects, and ends on SIGINT or SIGTERM. */
#include <errno.h>
#include <millrace/socket.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t stop;

static void on_signal(int signal) {
  (void)signal;
  stop = 1;
}

int main(void) {
  static const char greeting[] = "Hello there!\n";
  struct sigaction action;
  struct sockaddr_in address;
  int listener;

  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal; /* without SA_RESTART: mr_accept returns with EINTR */
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);

  if (mr_init(NULL) != 0) { /* MILLRACE_DEV, MILLRACE_ADDR */
    fprintf(stderr, "hello: %s\n", mr_last_error());
    return 1;
  }
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons(7777);
  listener = mr_socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || mr_bind(listener, (struct sockaddr*)&address, sizeof address) != 0 ||
      mr_listen(listener, 16) != 0) {
    perror("hello");
    return 1;
  }
  puts("ready");
  fflush(stdout);
  while (!stop) {
    int client = mr_accept(listener, NULL, NULL);
    if (client < 0) {
      if (errno == EINTR) continue;
      perror("hello: accept");
      return 1;
    }
    if (mr_write(client, greeting, sizeof greeting - 1) < 0) perror("hello: write");
    mr_close(client);
  }
  mr_close(listener);
  mr_finish();
  puts("stopped");
  return 0;
}
