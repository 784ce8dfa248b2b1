#include "base/checksum.h"

#include <bit>
#include <cstddef>
#include <cstring>

namespace millrace {
namespace {

std::uint16_t fold(std::uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

constexpr std::uint16_t to_host(std::uint16_t native_sum) {
  return std::endian::native == std::endian::little ? __builtin_bswap16(native_sum) : native_sum;
}

/// Sums in native word order: RFC 1071 §2(B), the sum of byte-swapped words is the byte-swapped sum.
std::uint16_t native_sum(const std::uint8_t* p, std::size_t n) {
  std::uint64_t sum = 0;
  for (; n >= 4; p += 4, n -= 4) {
    std::uint32_t word;
    std::memcpy(&word, p, sizeof word);
    sum += word;
  }
  if (n >= 2) {
    std::uint16_t word;
    std::memcpy(&word, p, sizeof word);
    sum += word;
    p += 2;
    n -= 2;
  }
  if (n != 0) {
    std::uint16_t word = 0;
    std::memcpy(&word, p, 1);  // the missing byte counts as zero
    sum += word;
  }
  return fold(sum);
}

}  // namespace

ChecksumSum& ChecksumSum::add(std::span<const std::uint8_t> bytes) {
  sum_ += to_host(native_sum(bytes.data(), bytes.size()));
  return *this;
}

ChecksumSum& ChecksumSum::add_at(std::size_t offset, std::span<const std::uint8_t> bytes) {
  const std::uint16_t sum = to_host(native_sum(bytes.data(), bytes.size()));
  sum_ += offset % 2 == 0 ? sum : __builtin_bswap16(sum);
  return *this;
}

std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes) {
  return static_cast<std::uint16_t>(~to_host(native_sum(bytes.data(), bytes.size())));
}

std::uint16_t checksum_update(std::uint16_t checksum, std::uint16_t old_word, std::uint16_t new_word) {
  // RFC 1624 §3, equation 3: HC' = ~(~HC + ~m + m').
  const std::uint32_t sum =
      static_cast<std::uint16_t>(~checksum) + std::uint32_t{static_cast<std::uint16_t>(~old_word)} + new_word;
  return static_cast<std::uint16_t>(~fold(sum));
}

std::uint16_t copy_and_sum(std::span<std::uint8_t> dst, std::span<const std::uint8_t> src) {
  std::memcpy(dst.data(), src.data(), src.size());
  return to_host(native_sum(dst.data(), src.size()));
}

}  // namespace millrace
