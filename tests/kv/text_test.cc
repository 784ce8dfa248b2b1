// Patterns, words of a line, numbers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>

#include "glob.h"
#include "inline_words.h"
#include "numbers.h"

namespace millrace::kv {
namespace {

using testing::ElementsAre;
using testing::Optional;

TEST(Glob, StarsQuestionMarksAndSets) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("h*llo", "heeello"));
  EXPECT_TRUE(matches("h?llo", "hallo"));
  EXPECT_FALSE(matches("h?llo", "hllo"));
  EXPECT_TRUE(matches("h[ae]llo", "hello"));
  EXPECT_FALSE(matches("h[^e]llo", "hello"));
  EXPECT_TRUE(matches("h[c-a]llo", "hbllo"));
  EXPECT_TRUE(matches("h\\*llo", "h*llo"));
  EXPECT_FALSE(matches("h\\*llo", "hallo"));
  EXPECT_TRUE(matches("[a", "a"));
  EXPECT_TRUE(matches("ABC", "abc", Case::kIgnored));
  EXPECT_FALSE(matches("ABC", "abc"));
}

TEST(Glob, ManyStarsTakeNoTimeToSpeakOf) {
  std::string pattern;
  for (int i = 0; i < 50; ++i) pattern += "a*";
  EXPECT_FALSE(matches(pattern + "b", std::string(5'000, 'a')));
}

TEST(SplitWords, QuotesAndEscapes) {
  EXPECT_THAT(split_words(" SET  'a b' \"\\x41\\n\\\"\" "), Optional(ElementsAre("SET", "a b", "A\n\"")));
  EXPECT_THAT(split_words(""), Optional(ElementsAre()));
  EXPECT_THAT(split_words("''"), Optional(ElementsAre("")));
  EXPECT_EQ(split_words("'a"), std::nullopt);
  EXPECT_EQ(split_words("'a'b"), std::nullopt);
  EXPECT_EQ(split_words("\"a\\"), std::nullopt);
}

TEST(Numbers, IntegersHaveOneSpelling) {
  EXPECT_EQ(parse_integer("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(parse_integer("9223372036854775807"), INT64_MAX);
  for (const char* text :
       {"", "-", "-0", "01", "+1", " 1", "1 ", "9223372036854775808", "-9223372036854775809",
        "9999999999999999999", "99999999999999999999", "1.0", "1a"}) {
    EXPECT_EQ(parse_integer(text), std::nullopt) << text;
  }
  EXPECT_EQ(IntegerText(INT64_MIN).text(), "-9223372036854775808");
}

TEST(Numbers, FloatsKeepSeventeenDigitsWithoutZeros) {
  EXPECT_EQ(format_float(3.0L), "3");
  EXPECT_EQ(format_float(10.5L), "10.5");
  EXPECT_EQ(format_float(-0.0L), "0");
  EXPECT_EQ(parse_float(" 1"), std::nullopt);
  EXPECT_EQ(parse_float("nan"), std::nullopt);
  EXPECT_EQ(parse_float("1e5000"), std::nullopt);
  EXPECT_EQ(parse_float(std::string("1\0", 2)), std::nullopt);
}

TEST(Numbers, MemoryHasUnits) {
  EXPECT_EQ(parse_memory("100"), 100u);
  EXPECT_EQ(parse_memory("1k"), 1000u);
  EXPECT_EQ(parse_memory("1KB"), 1024u);
  EXPECT_EQ(parse_memory("2gb"), std::uint64_t{2} << 30);
  EXPECT_EQ(parse_memory("mb"), 0u);
  EXPECT_EQ(parse_memory("1x"), std::nullopt);
  EXPECT_EQ(parse_memory("-1"), std::nullopt);
  EXPECT_EQ(parse_memory("99999999999gb"), std::nullopt);
}

}  // namespace
}  // namespace millrace::kv
