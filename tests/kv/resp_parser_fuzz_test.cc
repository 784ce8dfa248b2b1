// Random and mutated bytes into the parser, in pieces: it never reads outside of them, holds no more than was
// sent or announced within the limits, and says the same however the bytes were cut.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "resp_parser.h"

namespace millrace::kv {
namespace {

constexpr RespParser::Limits kLimits{.bulk = 100'000};

int rounds() {
  return std::getenv("MILLRACE_SOAK") != nullptr ? 3'000'000 : 30'000;
}

std::string random_word(Rng& rng) {
  std::string word(rng.chance(0.02) ? 15'000 + rng.below(5'000) : rng.below(12), ' ');
  for (char& c : word) c = static_cast<char>(rng.below(256));
  return word;
}

std::string random_commands(Rng& rng) {
  std::string bytes;
  for (std::uint32_t i = 1 + rng.below(4); i > 0; --i) {
    const std::uint32_t words = rng.below(5);
    if (rng.chance(0.2)) {
      constexpr std::string_view kLetters = "ab \t\"'\\x4n\r";
      for (std::uint32_t c = rng.below(20); c > 0; --c) bytes += kLetters[rng.below(kLetters.size())];
      bytes += "\n";
      continue;
    }
    bytes += "*" + std::to_string(words) + "\r\n";
    for (std::uint32_t word = 0; word < words; ++word) {
      const std::string content = random_word(rng);
      bytes += "$" + std::to_string(content.size()) + "\r\n" + content + "\r\n";
    }
  }
  return bytes;
}

void mutate(Rng& rng, std::string& bytes) {
  constexpr std::string_view kTelling = "*$\r\n0123456789-";
  for (std::uint32_t i = rng.below(4); i > 0 && !bytes.empty(); --i) {
    const std::uint32_t at = rng.below(static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), 200)));
    switch (rng.below(3)) {
      case 0:
        bytes[at] = kTelling[rng.below(kTelling.size())];
        break;
      case 1:
        bytes.erase(at, 1 + rng.below(3));
        break;
      default:
        bytes.insert(at, 1, kTelling[rng.below(kTelling.size())]);
    }
  }
}

/// What was said, as one text. The parser sees the bytes in memory of exactly their size, so that the address
/// sanitizer sees where it looks.
std::string hear(std::string_view bytes, Rng& rng, bool whole) {
  RespParser parser;
  std::string said, buffer;
  while (!bytes.empty()) {
    std::size_t size = whole ? bytes.size() : 1 + rng.below(rng.chance(0.5) ? 8 : 20'000);
    size = std::min(size, bytes.size());
    if (parser.body_missing() > 0) {
      size = std::min(size, parser.body_missing());
      std::memcpy(parser.body(), bytes.data(), size);
      parser.body_received(size);
      if (parser.body_missing() > 0) {
        bytes.remove_prefix(size);
        continue;
      }
    } else {
      buffer.append(bytes.substr(0, size));
    }
    bytes.remove_prefix(size);
    for (;;) {
      const std::unique_ptr<char[]> exact(new char[buffer.size()]);
      std::memcpy(exact.get(), buffer.data(), buffer.size());
      const auto outcome = parser.parse({exact.get(), buffer.size()}, kLimits);
      if (outcome == RespParser::Outcome::kError) return said + parser.error();
      if (outcome != RespParser::Outcome::kCommand) break;
      for (const Argument& argument : parser.arguments()) said += "[" + std::string(argument.text) + "]";
      said += "\n";
      EXPECT_LE(parser.consumed(), buffer.size());
      buffer.erase(0, parser.consumed());
      if (buffer.empty()) break;
    }
    EXPECT_LE(parser.held(), 1'000'000u);
  }
  return said;
}

TEST(RespParserFuzz, SaysTheSameHoweverTheBytesAreCut) {
  const std::uint64_t seed =
      std::getenv("MILLRACE_SEED") != nullptr ? std::strtoull(std::getenv("MILLRACE_SEED"), nullptr, 10) : 1;
  Rng rng(seed);
  for (int round = 0; round < rounds(); ++round) {
    std::string bytes = random_commands(rng);
    mutate(rng, bytes);
    const std::string whole = hear(bytes, rng, true);
    ASSERT_EQ(hear(bytes, rng, false), whole) << "round " << round;
  }
}

}  // namespace
}  // namespace millrace::kv
