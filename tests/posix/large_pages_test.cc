#include "posix/large_pages.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <set>
#include <vector>

namespace millrace::posix::test {

namespace {

constexpr std::size_t kPiece = LargePages::kPieceBytes;
constexpr std::size_t kPiecesAPage = LargePages::kPageBytes / kPiece;

TEST(LargePages, GivesAlignedPiecesThatCanBeWritten) {
  LargePages pages;
  std::set<void*> pieces;
  for (std::size_t i = 0; i < 3 * kPiecesAPage; ++i) {
    void* piece = pages.take_slab(kPiece);
    ASSERT_NE(piece, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece) % kPiece, 0u);
    std::memset(piece, 1, kPiece);
    EXPECT_TRUE(pieces.insert(piece).second);
  }
  EXPECT_EQ(pages.pages(), 3u);
}

TEST(LargePages, LeavesToTheSystemWhatDoesNotFillAPiece) {
  LargePages pages;
  EXPECT_EQ(pages.take_slab(kPiece + 1), nullptr);
  EXPECT_EQ(pages.take_slab(kPiece / 2 - 1), nullptr);
  EXPECT_NE(pages.take_slab(kPiece / 2), nullptr);
}

TEST(LargePages, UnmapsEmptyPagesButForTheLast) {
  LargePages pages;
  std::vector<void*> pieces;
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    const std::size_t wanted = random() % (5 * kPiecesAPage);
    while (pieces.size() < wanted) pieces.push_back(pages.take_slab(kPiece));
    while (pieces.size() > wanted) {
      std::swap(pieces[random() % pieces.size()], pieces.back());
      pages.give_slab(pieces.back());
      pieces.pop_back();
    }
    EXPECT_GE(pages.pages() * kPiecesAPage, pieces.size());
  }
  for (void* piece : pieces) pages.give_slab(piece);
  EXPECT_EQ(pages.pages(), 1u);
  EXPECT_NE(pages.take_slab(kPiece), nullptr);
  EXPECT_EQ(pages.pages(), 1u);
}

}  // namespace

}  // namespace millrace::posix::test
