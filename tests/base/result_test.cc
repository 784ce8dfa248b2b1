#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "base/counters.h"

namespace millrace {
namespace {

TEST(Result, HoldsAValueOrAnError) {
  Result<std::unique_ptr<int>> good = std::make_unique<int>(5);
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good.error(), Error::kNone);
  EXPECT_EQ(**good, 5);
  const std::unique_ptr<int> out = std::move(*good);
  EXPECT_EQ(*out, 5);

  const Result<std::unique_ptr<int>> bad = Error::kTimedOut;
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error(), Error::kTimedOut);
}

TEST(Result, OfVoidIsSuccessUnlessAnErrorIsGiven) {
  EXPECT_TRUE(Result<void>{}.ok());
  const Result<void> bad = Error::kPipe;
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.error(), Error::kPipe);
}

TEST(Result, EveryErrorHasItsOwnText) {
  std::set<std::string_view> texts;
  for (unsigned i = 0; i <= static_cast<unsigned>(Error::kDomain); ++i) {
    const std::string_view text = to_string(static_cast<Error>(i));
    EXPECT_FALSE(text.empty());
    EXPECT_NE(text, "unknown error") << i;
    EXPECT_TRUE(texts.insert(text).second) << text;
  }
}

enum class Fruit : std::uint8_t { kApples, kPears, kCount };
constexpr std::string_view name_of(Fruit fruit) {
  return fruit == Fruit::kApples ? "Apples" : "Pears";
}

TEST(CounterSet, CountsByNameAndVisitsAll) {
  CounterSet<Fruit> counters;
  counters.add(Fruit::kPears);
  counters.add(Fruit::kPears, 4);
  EXPECT_EQ(counters[Fruit::kApples], 0u);
  EXPECT_EQ(counters[Fruit::kPears], 5u);
  std::string seen;
  counters.for_each([&seen](std::string_view name, std::uint64_t value) {
    seen += std::string{name} + '=' + std::to_string(value) + ' ';
  });
  EXPECT_EQ(seen, "Apples=0 Pears=5 ");
}

}  // namespace
}  // namespace millrace
