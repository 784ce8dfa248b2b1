#pragma once

#include <cstddef>
#include <vector>

#include "event_set.h"
#include "load.h"
#include "window.h"

namespace millrace::load {

/// One turn: keeps each exchange busy until it is over, the next request follows an answer. False: an answer
/// was wrong.
template <typename AnyExchange>
bool exchange_in_turn(const Options& options, Window& window, EventSet& set,
                      std::vector<AnyExchange>& exchanges) {
  using Read = typename AnyExchange::Read;
  for (AnyExchange& exchange : exchanges) exchange.ask(options, MSG_DONTWAIT);
  // At the end all answers are waited for: a connection that is closed on unread data is reset, and what
  // takes long would be left out.
  std::size_t waiting = exchanges.size();
  for (bool over = false; waiting > 0 && !(over && window.give_up());) {
    over = over || window.over();
    const auto events = set.wait(options.busy ? 0 : 100);
    window.look(!events.empty());
    for (const epoll_event& event : events) {
      AnyExchange& exchange = exchanges[event.data.u64];
      if (exchange.read(options, MSG_DONTWAIT) != Read::kAll) continue;
      if (!exchange.intact()) return false;
      const auto answered_at = Clock::now();
      window.note(exchange.sent_at, answered_at, exchange.requests());
      if (over) {
        --waiting;
      } else {
        exchange.ask(options, MSG_DONTWAIT, answered_at);
      }
    }
  }
  return true;
}

/// Connects all exchanges, and keeps them busy on one epoll set in each turn. False: an answer was wrong.
template <typename AnyExchange>
bool exchange_all(const Options& options, Window& window, std::vector<AnyExchange>& exchanges) {
  EventSet set(*options.api);
  for (std::size_t i = 0; i < exchanges.size(); ++i) {
    exchanges[i].connect(connect_tcp(options, i));
    set.add(exchanges[i].fd(), i, EPOLLIN);
  }
  while (window.next()) {
    if (!exchange_in_turn(options, window, set, exchanges)) return false;
  }
  return true;
}

}  // namespace millrace::load
