#include "base/checksum.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstring>

// The sum is taken in native word order, whole words wide, and put into network order at the end: the sum of
// byte-swapped words is the byte-swapped sum (RFC 1071 §2(B)), and a sum of wide words folds to that of
// narrow ones (§2(C)). Long messages go through 16-byte vectors, which every machine has; wider ones behind a
// check at run time gain too little at the size of a segment to be worth a second version
// (bench/checksum_bench.cc).

namespace millrace {
namespace {

using Vector = std::uint32_t __attribute__((vector_size(16)));
constexpr std::size_t kLanes = sizeof(Vector) / sizeof(std::uint32_t);
constexpr std::size_t kVectors = 2;  ///< in flight at once: their additions do not wait for each other
constexpr std::size_t kBlock = kVectors * sizeof(Vector);
/// Below this the set-up of the vectors costs more than it gains.
constexpr std::size_t kVectorMinimum = 128;
/// A block adds at most 2 * 0xffff to each 32-bit lane: this many do not overflow it.
constexpr std::size_t kMaxBlocks = 0xffffffff / (2 * 0xffff);

constexpr std::uint16_t to_host(std::uint16_t native_sum) {
  return std::endian::native == std::endian::little ? __builtin_bswap16(native_sum) : native_sum;
}

/// Reads its way through a message, and in passing writes what it read where kCopy is set.
template <bool kCopy>
class Reader {
 public:
  Reader(const std::uint8_t* from, std::uint8_t* to, std::size_t size) : from_(from), to_(to), size_(size) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  /// The next bytes as a T, of which only the first `size` are read: the others are zero.
  template <typename T>
  [[nodiscard]] T take(std::size_t size = sizeof(T)) {
    T value{};
    std::memcpy(&value, from_, size);
    if constexpr (kCopy) {
      std::memcpy(to_, &value, size);
      to_ += size;
    }
    from_ += size;
    size_ -= size;
    return value;
  }

 private:
  const std::uint8_t* from_;
  std::uint8_t* to_;
  std::size_t size_;
};

/// The 16-bit words of up to kMaxBlocks blocks.
template <bool kCopy>
std::uint64_t sum_blocks(Reader<kCopy>& reader) {
  std::array<Vector, kVectors> sums{};
  for (std::size_t blocks = std::min(reader.size() / kBlock, kMaxBlocks); blocks > 0; --blocks) {
    for (Vector& sum : sums) {
      const auto words = reader.template take<Vector>();
      sum += (words & 0xffff) + (words >> 16);
    }
  }
  std::uint64_t total = 0;
  for (const Vector& sum : sums) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) total += sum[lane];
  }
  return total;
}

/// The folded sum in native word order. The 64-bit total overflows for no message shorter than 32 GiB.
template <bool kCopy>
std::uint16_t native_sum(const std::uint8_t* from, std::uint8_t* to, std::size_t size) {
  Reader<kCopy> reader{from, to, size};
  std::uint64_t sum = 0;
  while (reader.size() >= kVectorMinimum) sum += sum_blocks(reader);
  while (reader.size() >= 8) {
    const auto word = reader.template take<std::uint64_t>();
    sum += (word & 0xffffffff) + (word >> 32);
  }
  if (reader.size() >= 4) sum += reader.template take<std::uint32_t>();
  if (reader.size() >= 2) sum += reader.template take<std::uint16_t>();
  // Behind an odd last byte a zero is thought (RFC 1071 §2).
  if (reader.size() != 0) sum += reader.template take<std::uint16_t>(1);
  return fold_sum(sum);
}

std::uint16_t sum_of(std::span<const std::uint8_t> bytes) {
  return to_host(native_sum<false>(bytes.data(), nullptr, bytes.size()));
}

}  // namespace

ChecksumSum& ChecksumSum::add(std::span<const std::uint8_t> bytes) {
  sum_ += sum_of(bytes);
  return *this;
}

ChecksumSum& ChecksumSum::add_at(std::size_t offset, std::span<const std::uint8_t> bytes) {
  const std::uint16_t sum = sum_of(bytes);
  sum_ += offset % 2 == 0 ? sum : __builtin_bswap16(sum);
  return *this;
}

std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes) {
  return static_cast<std::uint16_t>(~sum_of(bytes));
}

std::uint16_t checksum_update(std::uint16_t checksum, std::uint16_t old_word, std::uint16_t new_word) {
  // RFC 1624 §3, equation 3: HC' = ~(~HC + ~m + m').
  const auto complement = [](std::uint16_t word) { return std::uint32_t{static_cast<std::uint16_t>(~word)}; };
  return static_cast<std::uint16_t>(~fold_sum(complement(checksum) + complement(old_word) + new_word));
}

std::uint16_t copy_and_sum(std::span<std::uint8_t> dst, std::span<const std::uint8_t> src) {
  assert(dst.size() >= src.size());
  return to_host(native_sum<true>(src.data(), dst.data(), src.size()));
}

}  // namespace millrace
