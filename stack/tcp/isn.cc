#include "tcp/isn.h"

#include <array>
#include <cstring>

namespace millrace::tcp {

IsnGenerator::IsnGenerator(Rng& rng) : hash_(rng) {}

std::uint64_t IsnGenerator::hash(const FlowKey& key, std::uint8_t purpose) const {
  std::array<std::uint8_t, 37> input{};
  std::memcpy(input.data(), key.local.address.bytes().data(), 16);
  std::memcpy(input.data() + 16, key.remote.address.bytes().data(), 16);
  std::memcpy(input.data() + 32, &key.local.port, 2);
  std::memcpy(input.data() + 34, &key.remote.port, 2);
  input[36] = purpose;
  return hash_(input);
}

SeqNum IsnGenerator::isn(const FlowKey& key, Instant now) const {
  const auto ticks = static_cast<std::uint32_t>(now.time_since_epoch().count() / 4000);
  return SeqNum{ticks + static_cast<std::uint32_t>(hash(key, 0))};
}

std::uint32_t IsnGenerator::timestamp_offset(const FlowKey& key) const {
  return static_cast<std::uint32_t>(hash(key, 1));
}

std::uint32_t IsnGenerator::port_offset(const IpAddress& local, const Endpoint& remote) const {
  return static_cast<std::uint32_t>(hash(FlowKey{{local, 0}, remote}, 2));
}

}  // namespace millrace::tcp
