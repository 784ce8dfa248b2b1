#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "stack.h"
#include "support/simulator_app.h"
#include "support/simulator_link.h"

namespace millrace::test {

/// All that one seed means.
struct Scenario {
  struct Pair {
    AppPlan client, server;
    int client_host = 0;
    bool simultaneous = false;  ///< both connect, nobody listens
    Duration start{0};
  };
  std::uint64_t seed = 0;
  LinkModel link;
  bool super_frames = false;  ///< the devices take and deliver them, with partial checksums
  bool static_neighbours = true;
  std::array<StackConfig, 2> stacks;
  std::array<std::uint32_t, 2> mtu{1500, 1500};
  std::vector<Pair> pairs;

  /// `large`: 10 MB each way at 5 % loss, 1 % duplication, 1 % corruption and reordering.
  [[nodiscard]] static Scenario from_seed(std::uint64_t seed);
  [[nodiscard]] std::string to_string() const;
};

/// Two Stacks on one link and programs that talk over them, in virtual time, until everything is over.
class Simulator {
 public:
  explicit Simulator(const Scenario& scenario, bool trace = false);
  ~Simulator();

  /// Empty: all is well. Else what is wrong, with the state of both sides.
  [[nodiscard]] std::string run();
  [[nodiscard]] Duration elapsed() const { return now_ - kStart; }
  [[nodiscard]] std::uint64_t frames() const { return link_.stats(0).sent + link_.stats(1).sent; }
  /// A few figures in a line.
  [[nodiscard]] std::string summary() const;

 private:
  static constexpr Instant kStart = kEpoch + 1000s;
  struct Host {
    std::unique_ptr<SimulatedDevice> device;
    std::unique_ptr<Stack> stack;
    std::unique_ptr<Socket> listener;
    std::vector<SimulatedApp*> apps;
    Instant last_backlog{};  ///< the device was full
    // By local and remote port:
    std::unordered_map<std::uint32_t, Instant> last_frame;  ///< sent or received
    std::unordered_map<std::uint32_t, Instant> busy_since;  ///< there has been something to deliver
  };
  struct Connection {
    std::unique_ptr<SimulatedApp> client, server;
    const Scenario::Pair* pair = nullptr;
    std::uint16_t client_port = 0;
    bool started = false;
  };

  static void on_frame(void* self, int end, std::span<const std::uint8_t> frame, bool received, Instant now);
  void start_due();
  void start(Connection& connection);
  void enable_keepalive(Socket& socket) const;
  void turn(int end);
  void accept_all(Host& host);
  [[nodiscard]] Instant next_event() const;
  [[nodiscard]] bool due(int end) const;
  [[nodiscard]] bool applications_done() const;
  [[nodiscard]] bool stacks_idle() const;
  void check_stalls();
  void check_outcome();
  void check_left_over();
  void complain(const std::string& what);
  [[nodiscard]] std::string describe() const;
  [[nodiscard]] static IpAddress address_of(int end) {
    return IpAddress::v4(198, 18, 0, static_cast<std::uint8_t>(end + 1));
  }

  Scenario scenario_;
  bool trace_;
  Instant now_ = kStart;
  Instant last_stall_check_ = kStart;
  SimulatedLink link_;
  std::array<Host, 2> hosts_;
  std::vector<Connection> connections_;
  std::string complaint_;
  std::uint64_t turns_ = 0;
};

}  // namespace millrace::test
