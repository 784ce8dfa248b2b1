#include "tcp/lookahead.h"

#include "base/prefetch.h"
#include "tcp/connection.h"

namespace millrace::tcp {

namespace {

// So many segments after it was told of. The bucket comes from the widest field of memory, and takes longest.
constexpr std::size_t kFlowStage = 10, kConnectionStage = 12, kPartsStage = 14, kOwnerStage = 15;
static_assert(kOwnerStage < Lookahead::kDepth);

}  // namespace

void Lookahead::expect(std::uint32_t hash) {
  Told& newest = told_[++newest_ % kDepth];
  newest.of_flow = true;
  newest.hash = hash;
  flows_.prefetch_bucket(hash);
  move_on();
}

void Lookahead::expect_none() {
  told_[++newest_ % kDepth].of_flow = false;
  move_on();
}

void Lookahead::move_on() const {
  if (const Told& due = told(kFlowStage); due.of_flow) flows_.prefetch_first(due.hash);
  if (const Connection* due = connection_told(kConnectionStage)) due->prefetch_itself();
  if (const Connection* due = connection_told(kPartsStage)) due->prefetch_parts();
  if (const Connection* due = connection_told(kOwnerStage)) due->prefetch_owner();
}

const Connection* Lookahead::connection_told(std::size_t ago) const {
  const Told& due = told(ago);
  const Flow* const flow = due.of_flow ? flows_.find_likely(due.hash) : nullptr;
  if (flow == nullptr || flow->kind() != Flow::Kind::kConnection) return nullptr;
  return static_cast<const Connection*>(flow);
}

}  // namespace millrace::tcp
