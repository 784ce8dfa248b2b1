// Random sequences of all operations on packets that share storage, against flat vectors of bytes. A failure
// names its seed; MILLRACE_SEED=n runs that one alone.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "packet/pool.h"

namespace millrace {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint64_t kSeeds = 4000;
constexpr int kSteps = 250;
constexpr std::size_t kMaxPackets = 8;
constexpr std::uint32_t kMaxLength = 6000;

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed), fragmented_(seed % 4 == 1), pool_(limits(seed)) {}

  void run() {
    for (int step = 0; step < kSteps && !::testing::Test::HasFailure(); ++step) {
      if (packets_.empty()) {
        create();
        continue;
      }
      act(packets_[below(static_cast<std::uint32_t>(packets_.size()))]);
      // Whatever was done to one packet, no byte of any other has changed. Damage stays, so looking at all
      // now and then finds it.
      if (step % 16 == 15) {
        for (const Entry& entry : packets_) check(entry);
      } else if (!packets_.empty()) {
        check(packets_[below(static_cast<std::uint32_t>(packets_.size()))]);
      }
    }
    shared_.clear();
    packets_.clear();
    EXPECT_EQ(pool_.packets_in_use(), 0u);
    EXPECT_EQ(pool_.buffers_in_use(), 0u);
    EXPECT_EQ(pool_.bytes_in_use(), 0u);
    EXPECT_EQ(lent_, 0u);
  }

 private:
  struct Entry {
    PacketPtr packet;
    Bytes model;
  };

  /// Every fourth world is short of memory and of spill arrays.
  static PacketPool::Limits limits(std::uint64_t seed) {
    if (seed % 4 != 0) return {};
    return {.bytes = 60000, .reserve = 0, .packets = 7, .spills = 2};
  }

  std::uint32_t below(std::uint32_t n) { return n == 0 ? 0 : static_cast<std::uint32_t>(random_() % n); }
  std::uint8_t byte() { return static_cast<std::uint8_t>(random_()); }
  /// Mostly small, now and then large.
  std::uint32_t some_length() { return below(3) == 0 ? below(1800) : below(80); }

  /// An operation may refuse only for want of memory, and then a counter says so.
  std::uint64_t refusals() const {
    std::uint64_t sum = 0;
    pool_.counters().for_each([&](std::string_view, std::uint64_t n) { sum += n; });
    return sum;
  }

  void check(const Entry& entry) {
    const Packet& packet = *entry.packet;
    ASSERT_EQ(packet.length(), entry.model.size());
    Bytes bytes(packet.length());
    packet.copy_out(0, bytes);
    ASSERT_EQ(bytes, entry.model);
    std::size_t total = packet.linear_length();
    for (const Fragment& fragment : packet.fragments()) {
      ASSERT_NE(fragment.length, 0u);
      total += fragment.length;
    }
    ASSERT_EQ(total, packet.length());
  }

  static void release(Buffer* buffer) {
    auto& world = *static_cast<World*>(buffer->owner());
    delete[] buffer->bytes();
    --world.lent_;
    world.pool_.free_external(buffer);
  }

  /// A Buffer full of random bytes: the pool's, or a driver's.
  BufferRef fresh_buffer(std::uint32_t capacity) {
    BufferRef buffer;
    if (below(4) == 0) {
      auto memory = std::make_unique<std::uint8_t[]>(capacity);
      buffer = pool_.adopt(memory.get(), capacity, &World::release, this);
      if (!buffer) return buffer;
      ++lent_;
      (void)memory.release();
    } else {
      buffer = pool_.allocate_buffer(capacity);
      if (!buffer) return buffer;
    }
    for (std::uint32_t i = 0; i < buffer->capacity(); i += 8) {
      const std::uint64_t eight = random_();
      std::memcpy(buffer->bytes() + i, &eight, std::min<std::size_t>(8, buffer->capacity() - i));
    }
    return buffer;
  }

  /// A fresh Buffer, or one that other packets may hold pieces of.
  BufferRef some_buffer() {
    if (!shared_.empty() && below(2) == 0) return shared_[below(static_cast<std::uint32_t>(shared_.size()))];
    BufferRef buffer = fresh_buffer(1 + some_length());
    if (buffer && below(2) == 0) {
      if (shared_.size() == 4) shared_.erase(shared_.begin());
      shared_.push_back(buffer);
    }
    return buffer;
  }

  void add(PacketPtr packet, Bytes model) {
    if (packet == nullptr) return;
    packets_.push_back({std::move(packet), std::move(model)});
    if (packets_.size() > kMaxPackets) packets_.erase(packets_.begin() + below(kMaxPackets));
  }

  void create() {
    const std::uint32_t kind = below(6);
    if (kind < 3) {
      add(pool_.allocate(some_length(), below(200)), {});
      return;
    }
    if (kind == 3) return create_behind_headers();
    BufferRef buffer = some_buffer();
    if (!buffer) return;
    const std::uint32_t offset = below(buffer->capacity() + 1);
    const std::uint32_t length = below(buffer->capacity() - offset + 1);
    Bytes model(buffer->bytes() + offset, buffer->bytes() + offset + length);
    add(pool_.wrap(std::move(buffer), offset, length), std::move(model));
  }

  /// Often beside another that has the same bytes, but not the room in front of them.
  void create_behind_headers() {
    BufferRef buffer = fresh_buffer(1 + some_length());
    if (!buffer) return;
    const std::uint32_t offset = below(std::min(buffer->capacity(), 200u) + 1);
    const std::uint32_t length = below(buffer->capacity() - offset + 1);
    Bytes model(buffer->bytes() + offset, buffer->bytes() + offset + length);
    PacketPtr packet = pool_.wrap_behind_headers(buffer, offset, length);
    if (packet == nullptr) return;
    EXPECT_EQ(packet->headroom(), std::min(offset, PacketPool::kHeadroom));
    EXPECT_EQ(packet->tailroom(), 0u);
    if (below(4) != 0) add(pool_.wrap(std::move(buffer), offset, length), model);
    add(std::move(packet), std::move(model));
  }

  void act(Entry& entry) {
    Packet& packet = *entry.packet;
    Bytes& model = entry.model;
    const std::uint32_t length = packet.length();
    const std::uint64_t refused = refusals();
    if (fragmented_ && below(8) == 0) {
      for (std::uint32_t n = below(60); n != 0; --n) append_fragment(entry);
      return;
    }
    switch (below(18)) {
      case 0:
        return create();
      case 1:
        return push(entry);
      case 2:
      case 3:
        return put(entry);
      case 4: {
        const std::uint32_t n = below(4) == 0 ? below(length + 1) : below(std::min(length, 60u) + 1);
        packet.pull(n);
        model.erase(model.begin(), model.begin() + n);
        return;
      }
      case 5: {
        const std::uint32_t n =
            below(2) == 0 ? below(length + 20) : length - below(std::min(length, 60u) + 1);
        packet.trim(n);
        if (n < length) model.resize(n);
        return;
      }
      case 6:
      case 7:
      case 8:
        return append_fragment(entry);
      case 9: {
        const std::uint32_t n = below(length + 10);
        const bool gathered = packet.gather(n);
        EXPECT_FALSE(gathered && n > length);
        EXPECT_TRUE(!gathered || packet.linear_length() >= n);
        EXPECT_TRUE(gathered || n > length || refusals() != refused);
        return;
      }
      case 10: {
        const std::uint32_t header = below(length + 1);
        const std::uint32_t headroom = below(100);
        PacketPtr copy = packet.clone(header, headroom);
        if (copy == nullptr) {
          EXPECT_NE(refusals(), refused);
          return;
        }
        EXPECT_TRUE(copy->linear_writable());
        EXPECT_GE(copy->linear_length(), header);
        EXPECT_EQ(copy->headroom(), headroom);
        return add(std::move(copy), model);
      }
      case 11: {
        const std::uint32_t n = below(length + 1);
        PacketPtr rest = packet.split(n);
        if (rest == nullptr) {
          EXPECT_NE(refusals(), refused);
          return;
        }
        Bytes rest_model(model.begin() + n, model.end());
        model.resize(n);
        return add(std::move(rest), std::move(rest_model));
      }
      case 12:
        return append(entry);
      case 13: {
        const std::uint32_t from = below(length + 1);
        Bytes bytes(below(length - from + 1));
        packet.copy_out(from, bytes);
        EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), model.begin() + from));
        return;
      }
      case 14: {
        const bool from_driver = below(2) == 0;
        const bool done = packet.compact(from_driver);
        EXPECT_TRUE(done || refusals() != refused);
        if (done && from_driver) {
          for (const Fragment& fragment : packet.fragments())
            EXPECT_TRUE(PacketPool::is_pooled(*fragment.buffer));
        }
        return;
      }
      case 15:
        return append_shared(entry);
      case 16: {
        const std::uint32_t n = below(length + 10);
        const bool done = packet.make_writable(n);
        EXPECT_TRUE(!done || packet.linear_length() >= n);
        EXPECT_TRUE(!done || packet.linear_writable() || packet.own_front() >= n);
        EXPECT_TRUE(done || n > length || refusals() != refused);
        return done ? write(entry) : void();
      }
      default:
        return write(entry);
    }
  }

  void push(Entry& entry) {
    if (!entry.packet->headroom_writable()) return;
    const std::uint32_t n = below(entry.packet->headroom() + 1);
    std::uint8_t* to = entry.packet->push(n);
    Bytes bytes(n);
    for (std::uint8_t& b : bytes) *to++ = b = byte();
    entry.model.insert(entry.model.begin(), bytes.begin(), bytes.end());
  }

  void put(Entry& entry) {
    if (!entry.packet->linear_writable() || entry.packet->fragment_count() != 0) return;
    const std::uint32_t n = below(std::min(entry.packet->tailroom(), 200u) + 1);
    std::uint8_t* to = entry.packet->put(n);
    for (std::uint32_t i = 0; i < n; ++i) entry.model.push_back(*to++ = byte());
  }

  void append_fragment(Entry& entry) {
    BufferRef buffer = some_buffer();
    if (!buffer || entry.packet->length() > kMaxLength) return;
    // Often right behind the last piece, so that merging is met.
    const std::span<const Fragment> fragments = entry.packet->fragments();
    std::uint32_t offset = below(buffer->capacity() + 1);
    if (!fragments.empty() && fragments.back().buffer.get() == buffer.get() && below(2) == 0) {
      offset = fragments.back().offset + fragments.back().length;
    }
    const std::uint32_t length = below(std::min(buffer->capacity() - offset, 300u) + 1);
    const std::uint8_t* from = buffer->bytes() + offset;
    const std::size_t count = fragments.size();
    if (entry.packet->append_fragment(buffer, offset, length)) {
      entry.model.insert(entry.model.end(), from, from + length);
    } else {
      EXPECT_TRUE(count == Packet::kMaxFragments || pool_.counters()[PoolCounter::kSpillRefused] != 0);
    }
  }

  void append_shared(Entry& entry) {
    const Entry& other = packets_[below(static_cast<std::uint32_t>(packets_.size()))];
    if (&other == &entry || entry.packet->length() > kMaxLength) return;
    const std::uint32_t own = other.packet->own_front();
    const std::uint32_t offset = own + below(other.packet->length() - own + 1);
    const std::uint32_t length = below(other.packet->length() - offset + 1);
    const std::size_t pieces = entry.packet->fragment_count() + other.packet->fragment_count() + 1;
    const std::uint64_t refused = refusals();
    if (entry.packet->append_shared(*other.packet, offset, length)) {
      const auto from = other.model.begin() + offset;
      entry.model.insert(entry.model.end(), from, from + length);
    } else {
      EXPECT_TRUE(pieces > Packet::kMaxFragments || refusals() != refused);
    }
  }

  void append(Entry& entry) {
    Entry& other = packets_[below(static_cast<std::uint32_t>(packets_.size()))];
    if (&other == &entry || entry.packet->length() > kMaxLength) return;
    if (entry.packet->append(other.packet)) {
      EXPECT_EQ(other.packet, nullptr);
      entry.model.insert(entry.model.end(), other.model.begin(), other.model.end());
      packets_.erase(packets_.begin() + (&other - packets_.data()));
    } else {
      EXPECT_NE(other.packet, nullptr);
    }
  }

  void write(Entry& entry) {
    Packet& packet = *entry.packet;
    const std::uint32_t writable = packet.linear_writable() ? packet.linear_length() : packet.own_front();
    if (writable == 0) return;
    for (int i = 0; i < 10; ++i) {
      const std::uint32_t at = below(writable);
      packet.data()[at] = entry.model[at] = byte();
    }
  }

  std::mt19937_64 random_;
  bool fragmented_;  ///< packets get many fragments, up to the limit
  std::size_t lent_ = 0;
  PacketPool pool_;
  std::vector<BufferRef> shared_;
  std::vector<Entry> packets_;
};

TEST(PacketProperty, EveryPacketReadsAsItsFlatModelWhateverItShares) {
  if (const char* only = std::getenv("MILLRACE_SEED"); only != nullptr) {
    World{std::stoull(only)}.run();
    return;
  }
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("MILLRACE_SEED=" + std::to_string(seed));
    World{seed}.run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace millrace
