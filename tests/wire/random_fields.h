#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ip_address.h"
#include "base/mac_address.h"
#include "base/rng.h"

namespace millrace::wire {

/// Random values of the types that headers are made of.
class RandomFields {
 public:
  explicit RandomFields(std::uint64_t seed) : rng_(seed) {}

  [[nodiscard]] Rng& rng() { return rng_; }
  [[nodiscard]] std::uint8_t u8() { return static_cast<std::uint8_t>(rng_.u32()); }
  [[nodiscard]] std::uint16_t u16() { return static_cast<std::uint16_t>(rng_.u32()); }
  [[nodiscard]] std::uint32_t u32() { return rng_.u32(); }
  [[nodiscard]] bool flag() { return (rng_.u32() & 1) != 0; }
  [[nodiscard]] IpAddress ipv4() { return IpAddress::v4(rng_.u32()); }
  [[nodiscard]] IpAddress ipv6() {
    std::array<std::uint8_t, 16> bytes;
    rng_.fill(bytes);
    return IpAddress::v6(bytes);
  }
  [[nodiscard]] MacAddress mac() {
    MacAddress mac;
    rng_.fill(mac.bytes);
    return mac;
  }
  [[nodiscard]] std::vector<std::uint8_t> bytes(std::size_t size) {
    std::vector<std::uint8_t> out(size);
    rng_.fill(out);
    return out;
  }

 private:
  Rng rng_;
};

/// What is emitted reads back the same, every byte of it is written, none beyond, and no shorter piece is
/// accepted.
template <typename Header>
void expect_round_trip(const Header& header, std::size_t size = Header::kSize) {
  std::array<std::uint8_t, 512> once;
  std::array<std::uint8_t, 512> again;
  ASSERT_LT(size, once.size());
  once.fill(0xa5);
  again.fill(0x5a);
  header.emit(std::span{once}.first(size));
  header.emit(std::span{again}.first(size));
  for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(once[i], again[i]) << "byte " << i << " is not written";
  for (std::size_t i = size; i < once.size(); ++i) ASSERT_EQ(once[i], 0xa5);
  const auto parsed = Header::parse(std::span{once}.first(size));
  ASSERT_TRUE(parsed);
  ASSERT_EQ(*parsed, header);
  for (std::size_t n = 0; n < Header::kSize; ++n) {
    // A copy of exactly that size, so that a read beyond it is one beyond the heap block.
    const std::vector<std::uint8_t> part(once.begin(), once.begin() + static_cast<std::ptrdiff_t>(n));
    ASSERT_FALSE(Header::parse(part)) << n;
  }
}

}  // namespace millrace::wire
