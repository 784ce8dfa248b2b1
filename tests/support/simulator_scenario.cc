#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <sstream>

#include "support/simulator.h"

namespace millrace::test {

namespace {

constexpr std::uint64_t kLargeBytes = 10'000'000;

/// The random choices of a scenario.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : rng_(seed) {}

  template <typename T>
  T one_of(std::initializer_list<T> choices) {
    return *(choices.begin() + rng_.below(static_cast<std::uint32_t>(choices.size())));
  }
  bool chance(double p) { return rng_.chance(p); }
  std::uint32_t between(std::uint32_t low, std::uint32_t high) { return low + rng_.below(high - low + 1); }
  /// Every magnitude equally often.
  std::uint64_t size(double most) {
    return static_cast<std::uint64_t>(std::exp(rng_.unit() * std::log(most + 1))) - 1;
  }

 private:
  Rng rng_;
};

LinkModel draw_link(Dice& dice) {
  LinkModel link;
  link.bits_per_second = dice.one_of<std::uint64_t>({0, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000});
  link.delay = dice.one_of<Duration>({Duration{0}, 100us, 1ms, 10ms, 50ms, 150ms});
  link.queue_bytes = dice.one_of<std::size_t>({16'000, 64'000, 256'000, 1'000'000});
  link.backpressure = dice.chance(0.3);
  if (dice.chance(0.5)) link.loss = dice.one_of({0.001, 0.01, 0.05, 0.1, 0.2});
  if (dice.chance(0.3)) link.duplicate = dice.one_of({0.001, 0.01, 0.1});
  if (dice.chance(0.3)) link.corrupt = dice.one_of({0.001, 0.01, 0.05});
  if (dice.chance(0.4)) link.reorder = dice.one_of({0.001, 0.01, 0.1, 0.5});
  link.reorder_delay = 2 * link.delay + 2ms;
  return link;
}

LinkModel hard_link(Dice& dice) {
  LinkModel link;
  link.bits_per_second = dice.one_of<std::uint64_t>({0, 100'000'000, 1'000'000'000});
  link.delay = dice.one_of<Duration>({100us, 1ms, 5ms, 20ms});
  link.loss = 0.05;
  link.duplicate = 0.01;
  link.corrupt = 0.01;
  link.reorder = 0.01;
  link.reorder_delay = 2 * link.delay + 1ms;
  return link;
}

AppPlan draw_app(Dice& dice, double most_bytes) {
  AppPlan app;
  app.bytes = dice.size(most_bytes);
  app.write_chunk = dice.one_of<std::uint32_t>({1, 100, 1460, 8192, 65536, 300'000});
  app.read_chunk = dice.one_of<std::uint32_t>({1, 100, 4096, 65536, 300'000});
  app.write_pause = dice.one_of({0.0, 0.0, 0.01, 0.3});
  app.read_pause = dice.one_of({0.0, 0.0, 0.01, 0.3});
  app.longest_pause = dice.one_of<Duration>({2ms, 50ms, 500ms});
  if (dice.chance(0.1)) {
    app.read_pause = 0.01;  // a reader that stops until the window is shut for long
    app.write_pause = 0;
    app.longest_pause = 30s;
  }
  app.no_delay = dice.chance(0.4);
  app.more = dice.one_of({0.0, 0.0, 0.0, 0.2});
  app.peek = dice.one_of({0.0, 0.0, 0.2});
  return app;
}

void draw_stack(Dice& dice, StackConfig& stack) {
  tcp::Config& tcp = stack.tcp;
  tcp.timestamps = dice.chance(0.7);
  tcp.sack = dice.chance(0.8);
  tcp.window_scaling = dice.chance(0.8);
  tcp.send_buffer = dice.one_of<std::size_t>({4096, 16'384, 65'536, 262'144, 1 << 20});
  tcp.send_buffer_max = 2 * tcp.send_buffer;
  tcp.receive_window_initial = dice.one_of<std::size_t>({4096, 16'384, 65'535, 65'536});
  tcp.receive_window_max = dice.one_of<std::size_t>({65'536, 262'144, 2 << 20});
  if (dice.chance(0.15)) stack.pool.bytes = dice.one_of<std::size_t>({1 << 20, 2 << 20, 8 << 20});
}

/// How losses are found and what the window does about them. Of dice of its own, so that all else stays as it
/// was.
void draw_recovery(Dice& dice, Scenario& scenario) {
  for (StackConfig& stack : scenario.stacks) {
    stack.tcp.rack = dice.chance(0.8);
    if (dice.chance(0.3)) stack.tcp.ecn = tcp::Config::Ecn::kRequest;
    if (dice.chance(0.1)) stack.tcp.max_sent_segments = dice.one_of<std::size_t>({64, 128, 512});
  }
  for (Scenario::Pair& pair : scenario.pairs) {
    for (AppPlan* app : {&pair.client, &pair.server}) app->congestion = dice.between(0, 3);
  }
}

/// Connections that fall asleep between two segments.
void draw_sleep(Dice& dice, Scenario& scenario) {
  for (StackConfig& stack : scenario.stacks) {
    if (dice.chance(0.4)) stack.tcp.dormant_after = dice.one_of<Duration>({1ms, 20ms, 300ms});
  }
}

void make_patient(StackConfig& stack) {
  // At 20 % loss each way a round fails in a third of all cases: the defaults would give up now and then, and
  // rightly so.
  stack.tcp.syn_retries = 12;
  stack.tcp.syn_ack_retries = 9;
  stack.tcp.orphan_retries = 15;
}

void draw_early_end(Dice& dice, Scenario::Pair& pair) {
  AppPlan& app = dice.chance(0.5) ? pair.client : pair.server;
  if (dice.chance(0.5)) {
    app.abort_at = dice.size(static_cast<double>(app.bytes));
  } else {
    app.leave_at = 1 + dice.size(static_cast<double>(app.expected));
  }
}

}  // namespace

Scenario Scenario::from_seed(std::uint64_t seed) {
  Dice dice(seed * 2 + 1);
  Scenario scenario;
  scenario.seed = seed;
  const bool large = seed % 10 == 7;
  scenario.link = large ? hard_link(dice) : draw_link(dice);
  scenario.super_frames = !large && dice.chance(0.2);
  scenario.static_neighbours = scenario.link.loss > 0.01 || scenario.link.corrupt > 0 || dice.chance(0.5);
  const std::uint32_t mtu = dice.one_of<std::uint32_t>({576, 1280, 1500, 1500, 1500, 9000});
  scenario.mtu = {mtu, dice.chance(0.2) ? 1500u : mtu};
  for (StackConfig& stack : scenario.stacks) {
    draw_stack(dice, stack);
    make_patient(stack);
  }
  const std::uint32_t count = large ? 1 : dice.one_of<std::uint32_t>({1, 1, 2, 3, 8});
  double most = large ? 1.0 : dice.one_of({100.0, 10'000.0, 200'000.0, 1'000'000.0}) / count;
  if (scenario.link.loss >= 0.1 || scenario.link.bits_per_second == 1'000'000)
    most = std::min(most, 300'000.0);
  for (std::uint32_t i = 0; i < count; ++i) {
    Pair pair;
    pair.client = draw_app(dice, most);
    pair.server = draw_app(dice, most);
    if (large) {
      pair.client.bytes = pair.server.bytes = kLargeBytes;
      for (AppPlan* app : {&pair.client, &pair.server}) {
        app->write_chunk = app->read_chunk = 131'072;
        app->write_pause = app->read_pause = 0;
      }
      for (StackConfig& stack : scenario.stacks)
        stack.tcp.send_buffer_max = std::max<std::size_t>(stack.tcp.send_buffer_max, 131'072);
    }
    pair.client.expected = pair.server.bytes;
    pair.server.expected = pair.client.bytes;
    for (AppPlan* app : {&pair.client, &pair.server}) {
      // Byte by byte only where it ends in time.
      if (app->bytes > 20'000) app->write_chunk = std::max<std::uint32_t>(app->write_chunk, 1000);
      if (app->expected > 20'000) app->read_chunk = std::max<std::uint32_t>(app->read_chunk, 1000);
    }
    pair.server.send_after_end_of_file = dice.chance(0.2);
    pair.client_host = static_cast<int>(dice.between(0, 1));
    pair.simultaneous = dice.chance(0.1);
    pair.start = std::chrono::milliseconds(dice.chance(0.5) ? 0 : dice.between(0, 2000));
    if (!large && dice.chance(0.12)) draw_early_end(dice, pair);
    scenario.pairs.push_back(pair);
  }
  Dice more(seed * 2 + 2);
  draw_recovery(more, scenario);
  draw_sleep(more, scenario);
  return scenario;
}

std::string Scenario::to_string() const {
  std::ostringstream text;
  text << "seed " << seed << ": rate " << link.bits_per_second << " bit/s, delay "
       << std::chrono::duration_cast<std::chrono::microseconds>(link.delay).count() << " us, queue "
       << link.queue_bytes << (link.backpressure ? " (backpressure)" : "") << ", loss " << link.loss
       << ", duplication " << link.duplicate << ", corruption " << link.corrupt << ", reordering "
       << link.reorder << (super_frames ? ", super-frames" : "") << (static_neighbours ? "" : ", ARP")
       << ", MTU " << mtu[0] << '/' << mtu[1] << '\n';
  for (const StackConfig& stack : stacks) {
    text << "  stack: timestamps " << stack.tcp.timestamps << " sack " << stack.tcp.sack << " scaling "
         << stack.tcp.window_scaling << " send buffer " << stack.tcp.send_buffer << ".."
         << stack.tcp.send_buffer_max << " window " << stack.tcp.receive_window_initial << ".."
         << stack.tcp.receive_window_max << " pool " << stack.pool.bytes << " rack " << stack.tcp.rack
         << " ecn " << static_cast<int>(stack.tcp.ecn) << " sent segments " << stack.tcp.max_sent_segments
         << '\n';
  }
  for (const Pair& pair : pairs) {
    text << "  pair: client on "
         << "ab"[pair.client_host] << (pair.simultaneous ? ", simultaneous open" : "");
    for (const AppPlan* app : {&pair.client, &pair.server}) {
      text << "; " << (app == &pair.client ? "client" : "server") << " sends " << app->bytes << " by "
           << app->write_chunk << ", reads by " << app->read_chunk << ", pauses " << app->write_pause << '/'
           << app->read_pause << ", control " << app->congestion << ", up to " << to_ms(app->longest_pause)
           << " ms";
      if (app->send_after_end_of_file) text << ", after end of file";
      if (app->abort_at != ~std::uint64_t{0}) text << ", aborts at " << app->abort_at;
      if (app->leave_at != ~std::uint64_t{0}) text << ", leaves at " << app->leave_at;
    }
    text << '\n';
  }
  return text.str();
}

}  // namespace millrace::test
