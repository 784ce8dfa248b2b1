#include "sim/random_network.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <sstream>

#include "tcp/congestion_list.h"

namespace millrace::test {

namespace {

/// What a run sends over its bottleneck is bounded by time.
constexpr double kMostBytes = 20e6;

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : rng_(seed) {}

  template <typename T>
  T one_of(std::initializer_list<T> choices) {
    return *(choices.begin() + rng_.below(static_cast<std::uint32_t>(choices.size())));
  }
  bool chance(double p) { return rng_.chance(p); }
  std::uint32_t below(std::uint32_t n) { return rng_.below(n); }
  /// Every magnitude equally often.
  double between(double low, double high) { return low * std::exp(rng_.unit() * std::log(high / low)); }

 private:
  Rng rng_;
};

/// What makes a path bad, one thing or several.
std::string draw_troubles(Dice& dice, double rtt_ms) {
  std::ostringstream text;
  if (dice.chance(0.4)) text << " loss=" << dice.one_of({0.01, 0.1, 1.0, 3.0}) << '%';
  if (dice.chance(0.2))
    text << " bursts=" << dice.one_of({0.02, 0.1, 0.5}) << "%:" << dice.one_of({10, 25, 50}) << '%';
  if (dice.chance(0.3)) text << " reorder=" << dice.one_of({0.1, 1.0, 30.0}) << "%:" << rtt_ms / 4 << "ms";
  if (dice.chance(0.2)) text << " duplicate=" << dice.one_of({0.1, 1.0, 5.0}) << '%';
  if (dice.chance(0.2)) text << " release=" << dice.one_of({1, 4, 10}) << "ms";
  return text.str();
}

std::string draw_queue(Dice& dice, double rate) {
  std::ostringstream text;
  text << " queue=" << dice.one_of({0.1, 0.5, 1.0, 1.0, 2.0, 5.0}) << "bdp";
  if (dice.chance(0.25))
    text << " codel";
  else if (dice.chance(0.2))
    text << " mark=30k";
  if (dice.chance(0.5)) text << " ecn";
  if (dice.chance(0.15)) text << " police=" << std::llround(rate * 0.6) << ":40k";
  return text.str();
}

}  // namespace

RandomNetwork::RandomNetwork(std::uint64_t seed) : seed_(seed) {
  Dice dice(seed * 2 + 1);
  const double rate = std::round(dice.between(1e6, dice.chance(0.2) ? 1e10 : 1e9));
  const double rtt_ms = dice.between(1, 400);
  const std::uint32_t flows = dice.one_of<std::uint32_t>({1, 1, 2, 2, 3, 4});
  const bool second_hop = dice.chance(0.25);
  std::ostringstream text;
  text << "r1 -- " << std::llround(rate) << ' ' << rtt_ms / 4 << "ms" << draw_queue(dice, rate)
       << draw_troubles(dice, rtt_ms) << " -- r2\n";
  if (dice.chance(0.2)) text << "r1 -> route=1s:" << rtt_ms * dice.one_of({0.0, 1.0, 2.0}) << "ms -> r2\n";
  text << "r2 -> loss=" << dice.one_of({0.0, 0.0, 0.1, 5.0}) << "% -> r1\n";
  text << "r2 --" << (second_hop ? " " + std::to_string(std::llround(rate)) + " queue=1bdp" : "")
       << " 0ms -- r3\n";
  const double longest = std::clamp(kMostBytes * 8 / rate, 10 * rtt_ms / 1000, 20.0);
  const auto controls = tcp::congestion_list();
  for (std::uint32_t i = 0; i < flows; ++i) {
    const double own_ms = i == 0 ? rtt_ms / 4 : rtt_ms / 4 * dice.between(0.3, 3);
    // An end of the second hop may be in its middle; some flow the other way.
    const bool back = i != 0 && dice.chance(0.2);
    const char* const far = i != 0 && dice.chance(0.3) ? "r2" : "r3";
    text << 's' << i << " -- " << own_ms << "ms -- r1\nd" << i << " -- 0ms -- " << far << '\n'
         << (back ? 'd' : 's') << i << " > " << (back ? 's' : 'd') << i << ' '
         << controls[dice.below(static_cast<std::uint32_t>(controls.size()))].name
         << " start=" << (i == 0 ? 0 : dice.between(0.001, longest / 2)) << 's';
    if (dice.chance(0.3)) text << " bytes=" << std::llround(dice.between(1, 2e6));
    text << '\n';
  }
  duration_ = std::chrono::milliseconds(std::llround(longest * 1000));

  options_.seed = seed;
  options_.verify = BulkFlow::Verify::kAll;
  options_.super_frames = dice.chance(0.7);
  tcp::Config& tcp = options_.tcp;
  tcp.timestamps = dice.chance(0.8);
  tcp.sack = dice.chance(0.85);
  tcp.window_scaling = dice.chance(0.9);
  if (dice.chance(0.3)) tcp.send_buffer_max = dice.one_of<std::size_t>({16'384, 65'536, 1 << 20});
  if (dice.chance(0.3)) tcp.receive_window_max = dice.one_of<std::size_t>({65'536, 262'144, 2 << 20});
  if (dice.chance(0.2)) tcp.delayed_ack = Duration{0};
  // Several losses in a row are common here, and no reason to give up.
  tcp.syn_retries = 12;
  tcp.syn_ack_retries = 9;
  tcp.orphan_retries = 15;
  tcp.ecn = dice.one_of({tcp::Config::Ecn::kAccept, tcp::Config::Ecn::kRequest, tcp::Config::Ecn::kOff});
  tcp.rack = dice.chance(0.8);
  // A narrower link that does not tell, for whoever sends over it.
  if (dice.chance(0.25)) {
    const unsigned mtu = dice.one_of<unsigned>({576, 1006, 1280, 1400, 1492});
    text << "r1 -> mtu=" << mtu << " -> r2\nr2 -> mtu=" << mtu << " -> r1\n";
    tcp.mtu_probing = dice.one_of({tcp::Config::MtuProbing::kBlackHole, tcp::Config::MtuProbing::kAlways});
  }
  topology_ = text.str();
  // Drawn last: all else stays as it was.
  if (dice.chance(0.3)) tcp.dormant_after = dice.one_of<Duration>({1ms, 20ms, 300ms});
}

std::string RandomNetwork::run() const {
  Network network(Topology::parse(topology_), options_);
  network.run_for(duration_);
  return network.finish();
}

std::string RandomNetwork::to_string() const {
  std::ostringstream text;
  text << "seed " << seed_ << ", " << to_ms(duration_) << " ms:\n"
       << topology_ << "timestamps " << options_.tcp.timestamps << " sack " << options_.tcp.sack
       << " scaling " << options_.tcp.window_scaling << " send buffer " << options_.tcp.send_buffer_max
       << " window " << options_.tcp.receive_window_max << " delayed ACK " << to_ms(options_.tcp.delayed_ack)
       << " ms, super-frames " << options_.super_frames << " ECN " << static_cast<int>(options_.tcp.ecn)
       << " RACK " << options_.tcp.rack << " MTU probing " << static_cast<int>(options_.tcp.mtu_probing)
       << '\n';
  return text.str();
}

}  // namespace millrace::test
