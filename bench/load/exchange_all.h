#pragma once

#include <cstddef>
#include <vector>

#include "event_set.h"
#include "load.h"
#include "window.h"

namespace millrace::load {

/// Connects all exchanges, and keeps each busy on one epoll set until the window is over: the next request
/// follows an answer. False: an answer was wrong.
template <typename AnyExchange>
bool exchange_all(const Options& options, Window& window, std::vector<AnyExchange>& exchanges) {
  using Read = typename AnyExchange::Read;
  EventSet set(*options.api);
  for (std::size_t i = 0; i < exchanges.size(); ++i) {
    exchanges[i].connect(connect_tcp(options, i));
    set.add(exchanges[i].fd(), i, EPOLLIN);
  }
  for (AnyExchange& exchange : exchanges) exchange.ask(options, MSG_DONTWAIT);
  bool intact = true;
  // At the end all answers are waited for: a connection that is closed on unread data is reset.
  std::size_t waiting = exchanges.size();
  for (bool over = false;
       waiting > 0 && intact && !(over && Clock::now() > window.end() + Window::kLastAnswers);) {
    over = over || window.over();
    const auto events = set.wait(options.busy ? 0 : 100);
    window.look(!events.empty());
    for (const epoll_event& event : events) {
      AnyExchange& exchange = exchanges[event.data.u64];
      if (exchange.read(options, MSG_DONTWAIT) != Read::kAll) continue;
      intact = intact && exchange.intact();
      if (over) {
        --waiting;
        continue;
      }
      const auto answered_at = Clock::now();
      window.note(exchange.sent_at, answered_at, exchange.requests());
      exchange.ask(options, MSG_DONTWAIT, answered_at);
    }
  }
  return intact;
}

}  // namespace millrace::load
