#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tcp/flow_table.h"

namespace millrace::tcp {

class Connection;

/// Brings near what the segments to come will touch, while those before them are worked on.
///
/// Of thousands of connections a segment finds its own in no near cache, and waits for one thing after the
/// other, as each leads to the next. So each segment is told of kDepth segments before its turn, and whenever
/// another one is, all those in between move on; what is asked for at one stage is there, and can be read, at
/// the next (but for the few flows that are not the first in their bucket):
///
///     told of                                                                        its turn
///      | bucket ............. | flow | connection | what it points to | its socket's owner |
///
/// All of it is hints. Nothing is kept but hashes, so that who is gone meanwhile is not found any more.
class Lookahead {
 public:
  static constexpr std::size_t kDepth = 16;

  explicit Lookahead(const FlowTable& flows) : flows_(flows) {}

  /// There are so many flows that no near cache has them all.
  [[nodiscard]] bool worthwhile() const { return flows_.size() >= kManyFlows; }
  /// The segment after those told of before is one of the flow with this hash.
  void expect(std::uint32_t hash);
  /// ... is of no flow, or there is none.
  void expect_none();

 private:
  static constexpr std::size_t kManyFlows = 2048;

  struct Told {
    bool of_flow = false;
    std::uint32_t hash = 0;
  };
  void move_on() const;
  [[nodiscard]] const Told& told(std::size_t ago) const { return told_[(newest_ - ago) % kDepth]; }
  /// The one that was most likely meant so many segments ago; null: there is none.
  [[nodiscard]] const Connection* connection_told(std::size_t ago) const;

  const FlowTable& flows_;
  std::array<Told, kDepth> told_{};
  std::size_t newest_ = 0;
};

}  // namespace millrace::tcp
