#include "lookahead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "resp_parser.h"

namespace millrace::kv {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string command(const std::vector<std::string>& words) {
  std::string bytes = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) bytes += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  return bytes;
}

struct Found {
  std::size_t commands = 0;
  std::vector<std::string> keys;
};

template <std::size_t kMost = 16>
Found look(std::string_view bytes) {
  // In memory of just that size: who reads beyond it is found out.
  const auto exact = std::make_unique<char[]>(bytes.size());
  std::memcpy(exact.get(), bytes.data(), bytes.size());
  std::array<std::string_view, kMost> keys;
  const Ahead ahead = look_ahead({exact.get(), bytes.size()}, keys);
  return {ahead.commands, {keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(ahead.keys)}};
}

TEST(Lookahead, FindsTheFirstArgumentOfEachCommand) {
  const Found found = look(command({"GET", "a"}) + command({"SET", "b", "value"}) + command({"PING"}) +
                           command({"MGET", "c", "d"}));
  EXPECT_EQ(found.commands, 4u);
  EXPECT_THAT(found.keys, ElementsAre("a", "b", "c"));
}

TEST(Lookahead, LeavesWhatIsNotThereYet) {
  const std::string whole = command({"GET", "a"}), next = command({"SET", "b", "value"});
  for (std::size_t cut = 0; cut < next.size(); ++cut) {
    const Found found = look(whole + next.substr(0, cut));
    EXPECT_EQ(found.commands, 1u) << cut;
    EXPECT_THAT(found.keys, ElementsAre("a")) << cut;
  }
}

TEST(Lookahead, StopsAtWhatIsUnusual) {
  for (const std::string& odd :
       {std::string("GET b\r\n"), std::string("*x\r\n"), std::string("*-1\r\n"), std::string("\r\n"),
        std::string("*2\r\n+GET\r\n$1\r\nb\r\n"), command({"SET", "b", std::string(1000, 'x')})}) {
    const Found found = look(command({"GET", "a"}) + odd + command({"GET", "c"}));
    EXPECT_EQ(found.commands, 1u) << odd;
    EXPECT_THAT(found.keys, ElementsAre("a")) << odd;
  }
  EXPECT_EQ(look("").commands, 0u);
}

TEST(Lookahead, TakesNoMoreThanThereIsRoomFor) {
  const std::string get = command({"GET", "a"});
  EXPECT_EQ(look<3>(get + get + get + get).commands, 3u);
  EXPECT_THAT(look<3>(get + get + get + get).keys, ElementsAre("a", "a", "a"));
  EXPECT_THAT(look<1>(command({"PING"}) + command({"PING"})).keys, IsEmpty());
}

TEST(Lookahead, AgreesWithTheParser) {
  Rng rng(11);
  for (int round = 0; round < 3'000; ++round) {
    std::string bytes;
    for (std::uint32_t i = rng.below(8); i > 0; --i) {
      std::vector<std::string> words(1 + rng.below(4));
      for (std::string& word : words) {
        word.resize(rng.below(20));
        for (char& c : word) c = static_cast<char>(rng.below(256));
      }
      bytes += command(words);
    }
    if (rng.chance(0.5) && !bytes.empty()) bytes[rng.below(static_cast<std::uint32_t>(bytes.size()))] ^= 1;
    const Found found = look(bytes);
    RespParser parser;
    std::string_view left = bytes;
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < found.commands; ++i) {
      ASSERT_EQ(parser.parse(left, {}), RespParser::Outcome::kCommand) << bytes;
      if (parser.arguments().size() > 1) keys.emplace_back(parser.arguments()[1].text);
      left.remove_prefix(parser.consumed());
    }
    EXPECT_EQ(found.keys, keys) << bytes;
  }
}

}  // namespace
}  // namespace millrace::kv
