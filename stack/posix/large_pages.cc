#include "posix/large_pages.h"

#include <sys/mman.h>

#include <bit>

namespace millrace::posix {

namespace {

void* address(std::uintptr_t value) {
  return reinterpret_cast<void*>(value);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

LargePages::~LargePages() {
  for (const auto& [page, pieces] : free_pieces_) munmap(address(page), kPageBytes);
}

void* LargePages::take_slab(std::size_t bytes) {
  if (bytes > kPieceBytes || bytes < kPieceBytes / 2) return nullptr;
  if (with_room_.empty() && !add_page()) return nullptr;
  const std::uintptr_t page = *with_room_.begin();
  PieceSet& pieces = free_pieces_[page];
  const int piece = std::countr_zero(pieces);
  pieces &= static_cast<PieceSet>(pieces - 1);
  if (pieces == 0) with_room_.erase(page);
  return address(page + static_cast<std::uintptr_t>(piece) * kPieceBytes);
}

void LargePages::give_slab(void* slab) {
  const auto where = reinterpret_cast<std::uintptr_t>(slab);
  const std::uintptr_t page = where & ~(kPageBytes - 1);
  PieceSet& pieces = free_pieces_[page];
  pieces |= static_cast<PieceSet>(1U << ((where - page) / kPieceBytes));
  with_room_.insert(page);
  if (pieces != static_cast<PieceSet>(~0U) || free_pieces_.size() == 1) return;
  with_room_.erase(page);
  free_pieces_.erase(page);
  munmap(address(page), kPageBytes);
}

bool LargePages::add_page() {
  // Twice as much holds one that is aligned.
  void* const map = mmap(nullptr, 2 * kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return false;
  const auto begin = reinterpret_cast<std::uintptr_t>(map);
  const std::uintptr_t page = (begin + kPageBytes - 1) & ~(kPageBytes - 1);
  if (page != begin) munmap(map, page - begin);
  if (const std::uintptr_t left = begin + 2 * kPageBytes - (page + kPageBytes); left != 0)
    munmap(address(page + kPageBytes), left);
  madvise(address(page), kPageBytes, MADV_HUGEPAGE);
  free_pieces_.emplace(page, static_cast<PieceSet>(~0U));
  with_room_.insert(page);
  return true;
}

}  // namespace millrace::posix
