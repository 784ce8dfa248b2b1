#include "posix/large_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
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

/// Bytes of these pieces that lie in memory now.
std::size_t resident(const std::vector<void*>& pieces) {
  const auto small = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> present(kPiece / small);
  std::size_t bytes = 0;
  for (void* piece : pieces) {
    EXPECT_EQ(mincore(piece, kPiece, present.data()), 0);
    bytes += small * static_cast<std::size_t>(std::count_if(present.begin(), present.end(),
                                                            [](unsigned char p) { return (p & 1) != 0; }));
  }
  return bytes;
}

TEST(LargePages, MemoryOfFreePiecesGoesBackAlthoughTheirPagesStay) {
  constexpr std::size_t kPages = 10;
  LargePages pages;
  std::vector<void*> kept, given;
  for (std::size_t i = 0; i < kPages * kPiecesAPage; ++i) {
    void* piece = pages.take_slab(kPiece);
    std::memset(piece, 1, kPiece);
    (i % kPiecesAPage == 5 ? kept : given).push_back(piece);
  }
  EXPECT_EQ(resident(given), given.size() * kPiece);
  EXPECT_EQ(pages.spare_pieces(), 0u);
  for (void* piece : given) pages.give_slab(piece);
  EXPECT_EQ(pages.pages(), kPages);
  EXPECT_EQ(pages.spare_pieces(), LargePages::kMostSpare);
  EXPECT_EQ(resident(given), LargePages::kMostSpare * kPiece);
  EXPECT_EQ(resident(kept), kept.size() * kPiece);
  for (void* piece : kept) EXPECT_EQ(static_cast<const char*>(piece)[kPiece - 1], 1);

  const std::set<void*> known(given.begin(), given.end());
  for (std::size_t i = 0; i < given.size(); ++i) {
    void* piece = pages.take_slab(kPiece);
    EXPECT_TRUE(known.contains(piece));
    std::memset(piece, 2, kPiece);
  }
  EXPECT_EQ(pages.pages(), kPages);
  EXPECT_EQ(pages.spare_pieces(), 0u);
  for (void* piece : kept) EXPECT_EQ(static_cast<const char*>(piece)[0], 1);
}

}  // namespace

}  // namespace millrace::posix::test
