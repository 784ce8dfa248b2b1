#include "tcp/fast_open.h"

#include <algorithm>
#include <cstring>

namespace millrace::tcp {

namespace {

constexpr std::uint8_t kCookieLength = 8;
constexpr Duration kBlackHole = 60s;
constexpr std::uint8_t kMaxLosses = 10;  // 17 hours

}  // namespace

FastOpenCookies::FastOpenCookies(Rng& rng) : hash_(rng) {}

FastOpenCookie FastOpenCookies::make(const IpAddress& local, const IpAddress& remote) const {
  std::array<std::uint8_t, 32> input{};
  std::memcpy(input.data(), local.bytes().data(), 16);
  std::memcpy(input.data() + 16, remote.bytes().data(), 16);
  const std::uint64_t hash = hash_(input);
  FastOpenCookie cookie;
  cookie.length = kCookieLength;
  for (std::size_t i = 0; i < kCookieLength; ++i)
    cookie.storage[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  return cookie;
}

FastOpenCache::FastOpenCache(Rng& rng) : hash_(rng) {}
FastOpenCache::~FastOpenCache() = default;

std::array<FastOpenCache::Entry, FastOpenCache::kWays>& FastOpenCache::set_of(const IpAddress& address) {
  return (*table_)[hash_(address.bytes()) % kSets];
}

const FastOpenCache::Entry* FastOpenCache::find(const IpAddress& address, Instant now) {
  if (table_ == nullptr) return nullptr;
  for (Entry& entry : set_of(address)) {
    if (entry.mss == 0 || entry.address != address) continue;
    entry.used = now;
    return &entry;
  }
  return nullptr;
}

void FastOpenCache::learn(const IpAddress& address, std::uint16_t mss,
                          const std::optional<FastOpenCookie>& cookie, bool lost, Instant now) {
  if (table_ == nullptr) table_ = std::make_unique<Table>();
  auto& set = set_of(address);
  Entry* place = std::find_if(set.begin(), set.end(),
                              [&](const Entry& entry) { return entry.mss != 0 && entry.address == address; });
  if (place == set.end()) {
    place = std::min_element(set.begin(), set.end(), [](const Entry& a, const Entry& b) {
      return a.mss == 0 || b.mss == 0 ? a.mss < b.mss && a.mss == 0 : a.used < b.used;
    });
    *place = Entry{};
    place->address = address;
  }
  place->used = now;
  place->mss = std::max<std::uint16_t>(mss, 1);
  if (cookie && cookie->length != 0) place->cookie = *cookie;
  if (lost) {
    place->losses = std::min<std::uint8_t>(static_cast<std::uint8_t>(place->losses + 1), kMaxLosses);
    place->lost = now;
  } else if (!black_hole(*place, now)) {
    place->losses = 0;
  }
}

bool FastOpenCache::black_hole(const Entry& entry, Instant now) {
  return entry.losses != 0 && now - entry.lost < kBlackHole * (1 << entry.losses);
}

}  // namespace millrace::tcp
