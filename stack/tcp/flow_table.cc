#include "tcp/flow_table.h"

#include <bit>
#include <cassert>

#include "base/byte_order.h"

namespace millrace::tcp {

namespace {

constexpr std::size_t kInitialBuckets = 1024;

}  // namespace

FlowTable::FlowTable(std::uint64_t secret_a, std::uint64_t secret_b)
    : secret_a_(secret_a | 1),
      secret_b_(secret_b | 1),
      mask_(kInitialBuckets - 1),
      buckets_(std::make_unique<Flow*[]>(kInitialBuckets)),
      per_port_(std::make_unique<std::uint32_t[]>(65536)) {}

std::uint32_t FlowTable::hash_of(const FlowKey& key) const {
  const std::uint64_t ports = (std::uint64_t{key.local.port} << 16) | key.remote.port;
  if (key.local.address.is_v4()) {
    return hash_of_v4((std::uint64_t{key.local.address.v4_value()} << 32) | key.remote.address.v4_value(),
                      ports);
  }
  const auto& a = key.local.address.bytes();
  const auto& b = key.remote.address.bytes();
  std::uint64_t h = fold_multiply(load_be64(a.data()) ^ secret_a_, load_be64(a.data() + 8) ^ secret_b_);
  h = fold_multiply(h ^ load_be64(b.data()), load_be64(b.data() + 8) ^ secret_a_);
  h = fold_multiply(h ^ ports, secret_b_);
  return finish(h);
}

std::uint32_t FlowTable::hash_of_arrival(std::span<const std::uint8_t, 8> addresses,
                                         std::span<const std::uint8_t, 4> ports) const {
  // In a key we come first.
  return hash_of_v4(std::rotl(load_be64(addresses.data()), 32), std::rotl(load_be32(ports.data()), 16));
}

void FlowTable::insert(Flow& flow) {
  assert(!flow.in_table_);
  if (size_ > mask_) grow();
  flow.hash_ = hash_of(flow.key_);
  Flow*& head = buckets_[flow.hash_ & mask_];
  flow.next_ = head;
  head = &flow;
  flow.in_table_ = true;
  ++size_;
  ++per_port_[flow.key_.local.port];
}

void FlowTable::remove(Flow& flow) {
  if (!flow.in_table_) return;
  Flow** link = &buckets_[flow.hash_ & mask_];
  while (*link != &flow) link = &(*link)->next_;
  *link = flow.next_;
  flow.next_ = nullptr;
  flow.in_table_ = false;
  --size_;
  --per_port_[flow.key_.local.port];
}

std::uint32_t FlowTable::next_bucket(std::uint32_t cursor) const {
  for (auto bit = static_cast<std::uint32_t>((mask_ + 1) / 2); bit != 0; bit /= 2) {
    cursor ^= bit;
    if ((cursor & bit) != 0) return cursor;  // no carry
  }
  return 0;
}

void FlowTable::grow() {
  const std::size_t count = (mask_ + 1) * 2;
  auto buckets = std::make_unique<Flow*[]>(count);
  for (std::size_t i = 0; i <= mask_; ++i) {
    for (Flow* flow = buckets_[i]; flow != nullptr;) {
      Flow* next = flow->next_;
      Flow*& head = buckets[flow->hash_ & (count - 1)];
      flow->next_ = head;
      head = flow;
      flow = next;
    }
  }
  buckets_ = std::move(buckets);
  mask_ = count - 1;
}

}  // namespace millrace::tcp
