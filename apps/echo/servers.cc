#include "servers.h"

#include <algorithm>

namespace millrace::echo {

// The other threads inherit that the first one's signals are blocked.
Servers::Servers(const apps::SocketApi& api, const Config& config,
                 std::function<void(const Counters&)> report)
    : report_(std::move(report)),
      events_{.report = [this] { this->report(); }, .pass_on = [this](int number) { stop_others(number); }},
      threads_(std::max(config.stack.queues, 1U), [&](unsigned index) {
        return std::make_unique<Server>(api, config, index == 0 ? &events_ : nullptr);
      }) {}

void Servers::stop_others(int number) {
  const auto& servers = threads_.servers();
  for (std::size_t i = 1; i < servers.size(); ++i) servers[i]->post(number);
}

void Servers::report() const {
  Counters all;
  for (const auto& server : threads_.servers()) all.add(server->counters());
  report_(all);
}

}  // namespace millrace::echo
