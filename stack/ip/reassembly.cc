#include "ip/reassembly.h"

#include <algorithm>
#include <bit>
#include <memory>

#include "base/byte_order.h"

namespace millrace::ip {

namespace {

/// The fragment's place in its datagram, from the header in front of it.
[[nodiscard]] std::uint32_t offset_of(const Packet& fragment) {
  return (load_be16(fragment.network_header() + 6) & 0x1fffU) * 8;
}

}  // namespace

void Reassembler::Datagram::clear() {
  fragments.clear_and_dispose([](Packet* packet) { PacketDeleter{}(packet); });
}

std::size_t Reassembler::Hash::operator()(const Key& key) const {
  std::array<std::uint8_t, 35> bytes{};
  std::copy(key.source.bytes().begin(), key.source.bytes().end(), bytes.begin());
  std::copy(key.destination.bytes().begin(), key.destination.bytes().end(), bytes.begin() + 16);
  store_be16(&bytes[32], key.identification);
  bytes[34] = key.protocol;
  return (*hash)(bytes);
}

Reassembler::Reassembler(const Config& config, PacketPool& pool, TimerWheel& timers, Rng& rng,
                         CounterSet<Counter>& counters, ReassemblyListener& listener)
    : config_(config),
      pool_(pool),
      timers_(timers),
      counters_(counters),
      listener_(listener),
      hash_(rng),
      buckets_(std::bit_ceil(std::max<std::size_t>(config.reassembly_datagrams, 16))),
      table_(Table::bucket_traits(buckets_.data(), buckets_.size()), Hash{&hash_}),
      timer_(&Reassembler::on_timer, this) {}

Reassembler::~Reassembler() {
  while (!by_age_.empty()) remove(by_age_.front());
}

PacketPtr Reassembler::add(PacketPtr fragment, const wire::Ipv4Header& header, Instant now) {
  counters_.add(Counter::kReasmReqds);
  if (!acceptable(*fragment, header)) return nullptr;
  Datagram& datagram =
      find_or_create({header.source, header.destination, header.identification, header.protocol}, now);
  if (datagram.poisoned) return nullptr;

  const std::uint32_t end = header.fragment_offset + fragment->length();
  const bool is_last = !header.more_fragments;
  // Two last fragments that disagree, or data behind the last one: forged or broken, like an overlap.
  if ((datagram.total != 0 && (end > datagram.total || (is_last && end != datagram.total))) ||
      (is_last && !datagram.fragments.empty() &&
       end < offset_of(datagram.fragments.back()) + datagram.fragments.back().length())) {
    counters_.add(Counter::kReasmInvalid);
    poison(datagram);
    return nullptr;
  }
  // compact(true): a driver's buffer is lent for one turn only.
  if (datagram.fragments.size() >= kMaxFragments || !fragment->compact(true)) {
    counters_.add(Counter::kInDiscards);
    return nullptr;
  }
  const std::size_t storage = fragment->storage_held();
  const std::uint32_t length = fragment->length();
  switch (insert(datagram, *fragment)) {
    case Insertion::kDuplicate:
      counters_.add(Counter::kReasmDuplicates);
      return nullptr;
    case Insertion::kOverlap:
      counters_.add(Counter::kReasmOverlaps);
      poison(datagram);
      return nullptr;
    case Insertion::kInserted:
      (void)fragment.release();  // the datagram has it now
  }
  charge(datagram, storage);
  datagram.received += length;
  if (is_last) datagram.total = end;

  if (datagram.total == 0 || datagram.received < datagram.total) {
    make_room(datagram);
    return nullptr;
  }
  PacketPtr whole = assemble(datagram);
  counters_.add(whole != nullptr ? Counter::kReasmOKs : Counter::kReasmFails);
  remove(datagram);
  return whole;
}

bool Reassembler::acceptable(const Packet& fragment, const wire::Ipv4Header& header) {
  const std::uint32_t length = fragment.length();
  const std::uint32_t end = std::uint32_t{header.fragment_offset} + length;
  if (length == 0 || (header.more_fragments && length % 8 != 0) || end + header.header_length > 65535) {
    counters_.add(Counter::kReasmInvalid);
    return false;
  }
  // RFC 1858 §3 and RFC 3128: no honest sender splits a TCP header; filters are deceived that way.
  constexpr std::uint32_t kTcpHeaderThatMatters = 16;
  if (header.protocol == wire::kProtocolTcp &&
      (header.fragment_offset == 0 ? length < kTcpHeaderThatMatters
                                   : header.fragment_offset < kTcpHeaderThatMatters)) {
    counters_.add(Counter::kReasmTiny);
    return false;
  }
  return true;
}

Reassembler::Insertion Reassembler::insert(Datagram& datagram, Packet& fragment) {
  const std::uint32_t offset = offset_of(fragment);
  const std::uint32_t end = offset + fragment.length();
  // From the back: they come in order as a rule.
  auto next = datagram.fragments.end();
  while (next != datagram.fragments.begin()) {
    auto previous = next;
    --previous;
    const std::uint32_t previous_offset = offset_of(*previous);
    const std::uint32_t previous_end = previous_offset + previous->length();
    if (previous_offset == offset && previous_end == end) return Insertion::kDuplicate;
    if (previous_end <= offset) break;
    if (previous_offset < end) return Insertion::kOverlap;
    next = previous;
  }
  datagram.fragments.insert(next, fragment);
  return Insertion::kInserted;
}

// --- the table and its limits

Reassembler::Datagram& Reassembler::find_or_create(const Key& key, Instant now) {
  const auto it = table_.find(key, table_.hash_function(), table_.key_eq());
  if (it != table_.end()) return *it;

  const std::array<std::uint8_t, 16>& source = key.source.bytes();
  const auto share = static_cast<std::uint8_t>(hash_(source) % kShares);
  const std::size_t fair = std::max<std::size_t>(config_.reassembly_datagrams / 4, 1);
  if (shares_[share].datagrams >= fair) {
    evict(*std::find_if(by_age_.begin(), by_age_.end(),
                        [&](const Datagram& datagram) { return datagram.share == share; }));
  } else if (table_.size() >= config_.reassembly_datagrams) {
    evict(by_age_.front());
  }
  auto fresh = std::make_unique<Datagram>();
  fresh->key = key;
  fresh->share = share;
  fresh->expires = now + config_.reassembly_timeout;
  ++shares_[share].datagrams;
  Datagram& datagram = *fresh.release();
  table_.insert(datagram);
  by_age_.push_back(datagram);
  timers_.arm_no_later_than(timer_, by_age_.front().expires);
  return datagram;
}

void Reassembler::charge(Datagram& datagram, std::size_t bytes) {
  datagram.storage += bytes;
  bytes_ += bytes;
  shares_[datagram.share].bytes += bytes;
}

void Reassembler::release_storage(Datagram& datagram) {
  bytes_ -= datagram.storage;
  shares_[datagram.share].bytes -= datagram.storage;
  datagram.storage = 0;
  datagram.clear();
}

void Reassembler::make_room(const Datagram& keep) {
  const std::uint8_t share = keep.share;
  const std::size_t fair = std::max<std::size_t>(config_.reassembly_bytes / 4, 1);
  for (auto it = by_age_.begin(); it != by_age_.end() && shares_[share].bytes > fair;) {
    Datagram& oldest = *it++;
    if (oldest.share != share) continue;
    const bool itself = &oldest == &keep;
    evict(oldest);
    if (itself) return;
  }
  while (bytes_ > config_.reassembly_bytes) {
    const bool itself = &by_age_.front() == &keep;
    evict(by_age_.front());
    if (itself) return;
  }
}

void Reassembler::poison(Datagram& datagram) {
  counters_.add(Counter::kReasmFails);
  datagram.poisoned = true;
  release_storage(datagram);
}

void Reassembler::evict(Datagram& datagram) {
  if (!datagram.poisoned) {
    counters_.add(Counter::kReasmEvicted);
    counters_.add(Counter::kReasmFails);
  }
  remove(datagram);
}

void Reassembler::remove(Datagram& datagram) {
  release_storage(datagram);
  --shares_[datagram.share].datagrams;
  by_age_.erase(by_age_.iterator_to(datagram));
  table_.erase(table_.iterator_to(datagram));
  delete &datagram;
}

void Reassembler::on_timer(void* owner, Instant now) {
  Reassembler& self = *static_cast<Reassembler*>(owner);
  while (!self.by_age_.empty() && self.by_age_.front().expires <= now) {
    Datagram& datagram = self.by_age_.front();
    if (!datagram.poisoned) {
      self.counters_.add(Counter::kReasmTimeout);
      self.counters_.add(Counter::kReasmFails);
      // RFC 792: "If fragment zero is not available then no time exceeded need be sent at all."
      if (!datagram.fragments.empty() && offset_of(datagram.fragments.front()) == 0)
        self.listener_.on_reassembly_timeout(datagram.fragments.front(), now);
    }
    self.remove(datagram);
  }
  if (!self.by_age_.empty()) self.timers_.arm(self.timer_, self.by_age_.front().expires);
}

// --- completion

PacketPtr Reassembler::assemble(Datagram& datagram) {
  PacketPtr first{&datagram.fragments.front()};
  datagram.fragments.pop_front();
  std::size_t pieces = first->fragment_count();
  for (const Packet& fragment : datagram.fragments) pieces += fragment.fragment_count() + std::size_t{1};
  if (pieces > Packet::kMaxFragments || !first->linear_writable()) {
    first = assemble_flat(datagram, std::move(first));
    if (first == nullptr) return nullptr;
  }
  while (!datagram.fragments.empty()) {
    PacketPtr fragment{&datagram.fragments.front()};
    datagram.fragments.pop_front();
    if (!first->append(fragment)) {
      counters_.add(Counter::kInDiscards);
      return nullptr;
    }
  }

  // The header becomes that of a datagram that was never fragmented.
  std::uint8_t* const p = first->network_header();
  auto header = *wire::Ipv4Header::parse({p, static_cast<std::size_t>((p[0] & 0xf) * 4)});
  header.total_length = static_cast<std::uint16_t>(header.header_length + first->length());
  header.more_fragments = false;
  header.emit({p, header.header_length});
  first->offload = Offload{};  // what a device said of a piece says nothing of the whole
  return first;
}

/// More pieces than a packet can hold, or a header that others share: copies all into one.
PacketPtr Reassembler::assemble_flat(Datagram& datagram, PacketPtr first) {
  const auto header_length = static_cast<std::uint32_t>((first->network_header()[0] & 0xf) * 4);
  PacketPtr flat = pool_.allocate(header_length + datagram.total, 0);
  if (flat == nullptr) {
    counters_.add(Counter::kInDiscards);
    return nullptr;
  }
  const auto take = [&](const Packet& fragment) {
    const std::uint32_t length = fragment.length();
    fragment.copy_out(0, {flat->put(length), length});
  };
  flat->set_network_header();
  std::copy_n(first->network_header(), header_length, flat->put(header_length));
  flat->pull(header_length);
  take(*first);
  while (!datagram.fragments.empty()) {
    PacketPtr fragment{&datagram.fragments.front()};
    datagram.fragments.pop_front();
    take(*fragment);
  }
  flat->timestamp = first->timestamp;
  flat->interface_id = first->interface_id;
  flat->link_broadcast = first->link_broadcast;
  return flat;
}

}  // namespace millrace::ip
