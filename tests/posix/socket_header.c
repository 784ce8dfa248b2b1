#include <millrace/socket.h>

int every_type_is_complete(void);

int every_type_is_complete(void) {
  struct mr_config config;
  struct epoll_event event;
  struct pollfd entry;
  struct msghdr message;
  sigset_t mask;
  config.struct_size = sizeof config + sizeof event + sizeof entry + sizeof message + sizeof mask;
  return mr_init(&config) + MR_FIRST_FD;
}
