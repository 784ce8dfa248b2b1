#pragma once

#include <sodium.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace millrace::load {

/// Random bytes that depend only on (seed, stream) and can be made again from any place on.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::uint64_t stream) {
    for (std::size_t i = 0; i < 8; ++i) key_[i] = static_cast<unsigned char>(seed >> (8 * i));
    for (std::size_t i = 0; i < 8; ++i) nonce_[i] = static_cast<unsigned char>(stream >> (8 * i));
  }
  /// The bytes from `offset` on; offset is a multiple of 64.
  void fill(std::uint64_t offset, std::span<unsigned char> out) const {
    for (auto& byte : out) byte = 0;
    crypto_stream_chacha20_xor_ic(out.data(), out.data(), out.size(), nonce_.data(), offset / 64,
                                  key_.data());
  }

 private:
  std::array<unsigned char, crypto_stream_chacha20_KEYBYTES> key_{};
  std::array<unsigned char, crypto_stream_chacha20_NONCEBYTES> nonce_{};
};

/// BLAKE2b of 256 bits (`b2sum --length 256`): several times as fast as SHA-256 in software, which takes
/// longer than the stream that it watches.
class StreamHash {
 public:
  StreamHash() { crypto_generichash_init(&state_, nullptr, 0, crypto_generichash_BYTES); }
  void add(std::span<const unsigned char> data) {
    crypto_generichash_update(&state_, data.data(), data.size());
  }
  /// Hexadecimal. Ends the hash.
  [[nodiscard]] std::string finish() {
    std::array<unsigned char, crypto_generichash_BYTES> hash{};
    crypto_generichash_final(&state_, hash.data(), hash.size());
    std::array<char, 2 * crypto_generichash_BYTES + 1> text{};
    sodium_bin2hex(text.data(), text.size(), hash.data(), hash.size());
    return text.data();
  }

 private:
  crypto_generichash_state state_{};
};

}  // namespace millrace::load
