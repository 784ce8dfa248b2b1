#include "common/stack_api.h"

#include <millrace/socket.h>

#include <limits>
#include <stdexcept>

namespace millrace::apps {

const SocketApi& stack_sockets() {
  static constexpr SocketApi kApi{
      .socket = mr_socket,
      .bind = mr_bind,
      .listen = mr_listen,
      .accept4 = mr_accept4,
      .connect = mr_connect,
      .send = mr_send,
      .recv = mr_recv,
      .sendto = mr_sendto,
      .recvfrom = mr_recvfrom,
      .sendmsg = mr_sendmsg,
      .shutdown = mr_shutdown,
      .close = mr_close,
      .getsockname = mr_getsockname,
      .getpeername = mr_getpeername,
      .getsockopt = mr_getsockopt,
      .setsockopt = mr_setsockopt,
      .poll = mr_poll,
      .epoll_create1 = mr_epoll_create1,
      .epoll_ctl = mr_epoll_ctl,
      .epoll_wait = mr_epoll_wait,
      .epoll_close = mr_close,
      .send_zc = mr_send_zc,
      .recv_zc = mr_recv_zc,
      .give_back = mr_give_back,
  };
  return kApi;
}

void start_stack(const StackSettings& settings) {
  const auto text = [](const std::string& value) { return value.empty() ? nullptr : value.c_str(); };
  mr_config config{};
  config.struct_size = sizeof config;
  config.device = text(settings.device);
  config.address = text(settings.address);
  config.gateway = text(settings.gateway);
  config.tcp = text(settings.tcp);
  config.mtu = settings.mtu;
  config.queues = settings.queues;
  config.busy_poll_us = settings.busy_poll ? std::numeric_limits<int>::max() : 0;
  config.tx_batch = settings.tx_batch;
  config.capture = text(settings.capture.file);
  config.capture_snaplen = settings.capture.snaplen;
  config.capture_limit = settings.capture.limit;
  config.drain_ms = settings.drain_ms;
  if (mr_init(&config) != 0) throw std::runtime_error(mr_last_error());
}

void stop_stack() {
  mr_finish();
}

void visit_stack_counters(void (*visit)(const char* name, std::uint64_t value)) {
  mr_stats(
      [](void* arg, const char* name, std::uint64_t value) {
        (*static_cast<void (**)(const char*, std::uint64_t)>(arg))(name, value);
      },
      &visit);
}

}  // namespace millrace::apps
