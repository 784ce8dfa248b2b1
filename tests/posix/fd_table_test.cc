#include "posix/fd_table.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <thread>

namespace millrace::posix {

namespace {

TEST(FdTable, GivesTheLowestFreeNumber) {
  FdTable table(1000);
  EXPECT_EQ(table.reserve(), kFirstFd);
  EXPECT_EQ(table.reserve(), kFirstFd + 1);
  EXPECT_EQ(table.reserve(), kFirstFd + 2);
  table.release(kFirstFd + 1);
  EXPECT_EQ(table.reserve(), kFirstFd + 1);
  EXPECT_EQ(table.reserve(), kFirstFd + 3);
}

TEST(FdTable, EndsAtItsLimit) {
  FdTable table(3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(table.reserve(), kFirstFd + i);
  EXPECT_EQ(table.reserve(), -EMFILE);
  table.release(kFirstFd + 2);
  EXPECT_EQ(table.reserve(), kFirstFd + 2);
  EXPECT_EQ(table.reserve(), -EMFILE);
}

TEST(FdTable, KnowsNoNumberOutsideOfIt) {
  FdTable table(10);
  EXPECT_EQ(table.slot(0), nullptr);
  EXPECT_EQ(table.slot(-1), nullptr);
  EXPECT_EQ(table.slot(kFirstFd), nullptr) << "nothing was given out yet";
  EXPECT_EQ(table.reserve(), kFirstFd);
  ASSERT_NE(table.slot(kFirstFd), nullptr);
  EXPECT_EQ(table.slot(kFirstFd)->context.load(), nullptr) << "reserved is not open";
  EXPECT_EQ(table.slot(kFirstFd - 1), nullptr);
  EXPECT_EQ(table.slot(INT32_MAX), nullptr);
}

TEST(FdTable, MatchesASetOfNumbers) {
  FdTable table(200'000);
  std::set<int> model_free;
  for (int i = 0; i < 200'000; ++i) model_free.insert(kFirstFd + i);
  std::vector<int> taken;
  std::mt19937 random(1);
  for (int step = 0; step < 400'000; ++step) {
    // Grow to a few levels of the tree, then go up and down.
    const bool take = taken.empty() || random() % 100 < (step < 150'000 ? 90u : 50u);
    if (take && !model_free.empty()) {
      const int fd = table.reserve();
      ASSERT_EQ(fd, *model_free.begin());
      model_free.erase(model_free.begin());
      taken.push_back(fd);
    } else if (!taken.empty()) {
      std::swap(taken[random() % taken.size()], taken.back());
      table.release(taken.back());
      model_free.insert(taken.back());
      taken.pop_back();
    }
  }
}

TEST(FdTable, ThreadsNeverGetTheSameNumber) {
  FdTable table(FdTable::kMaxLimit);
  std::vector<std::vector<int>> got(4);
  std::vector<std::thread> threads;
  for (auto& mine : got) {
    threads.emplace_back([&table, &mine] {
      for (int i = 0; i < 5000; ++i) mine.push_back(table.reserve());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<int> all;
  for (const auto& mine : got) all.insert(all.end(), mine.begin(), mine.end());
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], kFirstFd + static_cast<int>(i));
}

}  // namespace

}  // namespace millrace::posix
