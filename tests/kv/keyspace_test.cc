#include "keyspace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

namespace millrace::kv {
namespace {

using testing::ElementsAre;

class KeyspaceTest : public testing::Test {
 protected:
  KeyspaceTest() : keys_(Rng::Seed{1}) { keys_.set_now(1'000'000); }

  void set(const std::string& key, std::string_view value = "v") { keys_.set(key, Value::copy_of(value)); }
  void set_until(const std::string& key, std::int64_t at) {
    keys_.set_expiry(keys_.set(key, Value::copy_of("v")), at);
  }
  std::string get(const std::string& key) {
    const Entry* entry = keys_.peek(key);
    return entry != nullptr ? std::string(entry->value->bytes()) : "none";
  }
  void work_all() {
    for (int i = 0; i < 1000; ++i) keys_.work();
  }

  Keyspace keys_;
};

TEST_F(KeyspaceTest, ExpectedKeysAreFoundInAnyOrderAndOthersToo) {
  const std::string text = "abcdefgh";
  const std::string_view whole = text;
  std::vector<std::string_view> keys;
  for (std::size_t i = 0; i < text.size(); ++i) {
    keys.push_back(whole.substr(i, 1));
    keys_.set(keys.back(), Value::copy_of(keys.back()));
  }
  set("ab", "longer");
  set("far", "away");
  std::vector<std::size_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  do {
    keys_.expect(keys);
    for (const std::size_t i : {order[0], order[3], order[5]}) {
      ASSERT_NE(keys_.peek(keys[i]), nullptr);
      ASSERT_EQ(keys_.peek(keys[i])->value->bytes(), keys[i]);
      ASSERT_EQ(keys_.peek(whole.substr(0, 2))->value->bytes(), "longer") << "the same place, another size";
      ASSERT_EQ(get("far"), "away");
    }
    keys_.expect_nothing();
  } while (std::next_permutation(order.begin(), order.end()) && order[0] < 2);
}

TEST_F(KeyspaceTest, ExpectedKeysMayNotExistOrGoOrCome) {
  const std::string text = "abc";
  const std::vector<std::string_view> keys{std::string_view(text).substr(0, 1),
                                           std::string_view(text).substr(1, 1),
                                           std::string_view(text).substr(2, 1)};
  keys_.expect(keys);  // of an empty table
  EXPECT_EQ(keys_.peek(keys[0]), nullptr);
  keys_.set(keys[1], Value::copy_of("new"));
  keys_.expect(keys);
  EXPECT_TRUE(keys_.erase("b"));
  EXPECT_EQ(keys_.peek(keys[1]), nullptr);
  for (int i = 0; i < 10'000; ++i) set(std::to_string(i));  // the table changes its size meanwhile
  keys_.set(keys[2], Value::copy_of("c"));
  EXPECT_EQ(get("c"), "c");
}

TEST_F(KeyspaceTest, WhatIsNotExpectedAnyMoreMayChange) {
  std::string text = "a";
  set("a", "first");
  set("b", "second");
  const std::array<std::string_view, 1> keys{text};
  keys_.expect(keys);
  keys_.expect_nothing();
  text[0] = 'b';
  EXPECT_EQ(keys_.peek(text)->value->bytes(), "second");
}

TEST_F(KeyspaceTest, AgreesWithAMap) {
  Rng rng(7);
  std::map<std::string, std::string> model;
  for (int i = 0; i < 200'000; ++i) {
    // Now many keys, now few: the table grows and shrinks.
    const std::string key = std::to_string(rng.below(i % 40'000 < 20'000 ? 5'000 : 50));
    const std::string value = std::to_string(rng.u32());
    switch (rng.below(i % 40'000 < 20'000 ? 3 : 6)) {
      case 0:
      case 1:
        set(key, value);
        model[key] = value;
        break;
      case 2:
        EXPECT_EQ(get(key), model.contains(key) ? model[key] : "none");
        break;
      default:
        if (model.size() > 10 && rng.chance(0.9)) {
          const std::string first = model.begin()->first;
          EXPECT_TRUE(keys_.erase(first));
          model.erase(first);
        }
        EXPECT_EQ(keys_.erase(key), model.erase(key) == 1);
    }
    ASSERT_EQ(keys_.size(), model.size());
  }
  for (const auto& [key, value] : model) EXPECT_EQ(get(key), value);
}

TEST_F(KeyspaceTest, AWalkMissesNothingThatWasThereAllTheTime) {
  Rng rng(3);
  for (int i = 0; i < 500; ++i) set("stays" + std::to_string(i));
  int churn = 0;
  for (int walk = 0; walk < 30; ++walk) {
    std::set<std::string> seen;
    std::uint64_t cursor = 0;
    do {
      cursor = keys_.scan(cursor, [&](Entry& entry) { seen.emplace(entry.key()); });
      // Odd walks grow the table manyfold, even ones shrink it.
      for (int i = 0; i < 20; ++i) {
        if (walk % 2 == 1 && churn < 20'000) {
          set("comes" + std::to_string(churn++));
        } else if (walk % 2 == 0 && churn > 0) {
          keys_.erase("comes" + std::to_string(--churn));
        }
      }
    } while (cursor != 0);
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(seen.contains("stays" + std::to_string(i))) << "walk " << walk;
  }
}

TEST_F(KeyspaceTest, AKeyIsGoneOnceItsTimeIsOver) {
  set_until("key", 1'000'100);
  keys_.set_now(1'000'100);
  EXPECT_EQ(get("key"), "v");
  keys_.set_now(1'000'101);
  EXPECT_EQ(get("key"), "none");
  EXPECT_EQ(keys_.size(), 0u);
  EXPECT_EQ(keys_.expiring(), 0u);
  EXPECT_EQ(keys_.counters().expired, 1u);
}

TEST_F(KeyspaceTest, WhatNobodyAsksForExpiresToo) {
  for (int i = 0; i < 10'000; ++i) set_until(std::to_string(i), 1'000'000 + i % 2 * 1'000'000);
  keys_.set_now(1'500'000);
  work_all();
  EXPECT_LT(keys_.size(), 5'700u) << "a tenth of those that expire may wait";
  EXPECT_GE(keys_.size(), 5'000u);
  keys_.set_now(3'000'000);
  work_all();
  EXPECT_EQ(keys_.size(), 0u);
  EXPECT_FALSE(keys_.has_work());
}

TEST_F(KeyspaceTest, SettingAValueForgetsItsEndUnlessToldToKeepIt) {
  set_until("key", 2'000'000);
  keys_.set("key", Value::copy_of("w"), Keyspace::Expiry::kKeep);
  EXPECT_EQ(keys_.peek("key")->expires_at, 2'000'000);
  keys_.edit("key", 5);
  EXPECT_EQ(keys_.peek("key")->expires_at, 2'000'000);
  set("key");
  EXPECT_EQ(keys_.peek("key")->expires_at, 0);
  EXPECT_EQ(keys_.expiring(), 0u);
}

TEST_F(KeyspaceTest, AValueThatIsBeingSentIsNotChangedUnderTheSender) {
  set("key", "before");
  const ValueRef sent = keys_.peek("key")->value;
  char* bytes = keys_.edit("key", 8);
  bytes[0] = 'B';
  EXPECT_EQ(sent->bytes(), "before");
  EXPECT_EQ(get("key"), std::string("Before\0\0", 8));
}

TEST_F(KeyspaceTest, MemoryComesBack) {
  const std::size_t empty = keys_.memory();
  for (int i = 0; i < 1'000; ++i) set(std::to_string(i), std::string(500, 'x'));
  EXPECT_GT(keys_.memory(), empty + 500'000);
  for (int i = 0; i < 1'000; ++i) keys_.edit(std::to_string(i), 100);
  for (int i = 0; i < 1'000; ++i) keys_.erase(std::to_string(i));
  work_all();
  EXPECT_LT(keys_.memory(), empty + 1'000);

  for (int i = 0; i < 20'000; ++i) set_until(std::to_string(i), 2'000'000);
  keys_.clear();
  EXPECT_EQ(keys_.size(), 0u);
  EXPECT_EQ(keys_.expiring(), 0u);
  EXPECT_GT(keys_.memory(), empty + 20'000) << "given back by and by";
  work_all();
  EXPECT_LT(keys_.memory(), empty + 1'000);
}

TEST_F(KeyspaceTest, AtTheLimitNothingOrTheLeastRecentlyUsedGoes) {
  for (int i = 0; i < 2'000; ++i) {
    keys_.set_now(1'000'000 + i * 1000);
    set(std::to_string(i), std::string(200, 'x'));
  }
  const std::size_t limit = keys_.memory() / 2;
  EXPECT_FALSE(keys_.make_room(limit, Eviction::kNone, 5));
  EXPECT_EQ(keys_.size(), 2'000u);
  while (keys_.memory() > limit) ASSERT_TRUE(keys_.make_room(limit, Eviction::kLeastRecentlyUsed, 10));
  EXPECT_EQ(keys_.counters().evicted, 2'000 - keys_.size());
  int young = 0, old = 0;
  for (int i = 0; i < 1'000; ++i) old += keys_.peek(std::to_string(i)) != nullptr ? 1 : 0;
  for (int i = 1'000; i < 2'000; ++i) young += keys_.peek(std::to_string(i)) != nullptr ? 1 : 0;
  EXPECT_GT(young, 10 * old);
}

TEST_F(KeyspaceTest, TheJournalHearsOfEveryChange) {
  class Heard : public Journal {
   public:
    void changed(std::string_view key) override { keys.emplace(key); }
    void cleared() override { ++clears; }
    std::set<std::string> keys;
    int clears = 0;
  } heard;
  set_until("expires", 1'000'001);
  set("erased");
  set("edited");
  set("limited");
  keys_.set_journal(&heard);
  set("set");
  keys_.edit("edited", 3);
  keys_.erase("erased");
  keys_.erase("nobody");
  keys_.set_expiry(*keys_.peek("limited"), 2'000'000);
  keys_.set_now(1'000'002);
  static_cast<void>(keys_.peek("expires"));
  EXPECT_THAT(heard.keys, ElementsAre("edited", "erased", "expires", "limited", "set"));
  keys_.clear();
  EXPECT_EQ(heard.clears, 1);
}

TEST_F(KeyspaceTest, SomeKeyIsAnyOfThem) {
  EXPECT_EQ(keys_.random(), nullptr);
  for (int i = 0; i < 10; ++i) set(std::to_string(i));
  std::set<std::string> seen;
  for (int i = 0; i < 1'000; ++i) seen.emplace(keys_.random()->key());
  EXPECT_EQ(seen.size(), 10u);
}

}  // namespace
}  // namespace millrace::kv
