#include "posix/large_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

namespace millrace::posix {

namespace {

using PieceSet = std::uint16_t;

PieceSet piece_of(int number) {
  return static_cast<PieceSet>(1U << number);
}

void* address(std::uintptr_t value) {
  return reinterpret_cast<void*>(value);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

LargePages::~LargePages() {
  for (const Page& page : pages_) munmap(address(page.address), kPageBytes);
}

void* LargePages::take_slab(std::size_t bytes) {
  if (bytes > kPieceBytes || bytes < kPieceBytes / 2) return nullptr;
  while (first_with_room_ < pages_.size() && pages_[first_with_room_].free == 0) ++first_with_room_;
  if (first_with_room_ == pages_.size() && !add_page()) return nullptr;
  Page& page = pages_[first_with_room_];
  const int number = std::countr_zero(page.free);
  const PieceSet piece = piece_of(number);
  page.free &= static_cast<PieceSet>(~piece);
  if ((page.released & piece) == 0) {
    --spare_;
  } else {
    page.released &= static_cast<PieceSet>(~piece);
    if (page.released == 0) madvise(address(page.address), kPageBytes, MADV_HUGEPAGE);
  }
  return address(page.address + static_cast<std::uintptr_t>(number) * kPieceBytes);
}

void LargePages::give_slab(void* slab) {
  const auto where = reinterpret_cast<std::uintptr_t>(slab);
  const std::uintptr_t start = where & ~(kPageBytes - 1);
  const auto page = std::lower_bound(pages_.begin(), pages_.end(), start,
                                     [](const Page& p, std::uintptr_t a) { return p.address < a; });
  const PieceSet piece = piece_of(static_cast<int>((where - start) / kPieceBytes));
  page->free |= piece;
  ++spare_;
  first_with_room_ = std::min(first_with_room_, static_cast<std::size_t>(page - pages_.begin()));
  if (page->free == kAllPieces && pages_.size() != 1) {
    spare_ -= kPieces - static_cast<std::size_t>(std::popcount(page->released));
    pages_.erase(page);
    munmap(address(start), kPageBytes);
  } else if (spare_ > kMostSpare) {
    release(*page, piece);
    --spare_;
  }
}

void LargePages::release(Page& page, PieceSet piece) {
  // Else the kernel might find a large page for the rest, and fill it up again.
  if (page.released == 0) madvise(address(page.address), kPageBytes, MADV_NOHUGEPAGE);
  page.released |= piece;
  const auto number = static_cast<std::uintptr_t>(std::countr_zero(piece));
  madvise(address(page.address + number * kPieceBytes), kPieceBytes, MADV_DONTNEED);
}

bool LargePages::add_page() {
  try {
    pages_.reserve(pages_.size() + 1);
  } catch (const std::bad_alloc&) {
    return false;
  }
  // Twice as much holds one that is aligned.
  void* const map = mmap(nullptr, 2 * kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return false;
  const auto begin = reinterpret_cast<std::uintptr_t>(map);
  const std::uintptr_t page = (begin + kPageBytes - 1) & ~(kPageBytes - 1);
  if (page != begin) munmap(map, page - begin);
  if (const std::uintptr_t left = begin + 2 * kPageBytes - (page + kPageBytes); left != 0)
    munmap(address(page + kPageBytes), left);
  madvise(address(page), kPageBytes, MADV_HUGEPAGE);
  const auto place = std::lower_bound(pages_.begin(), pages_.end(), page,
                                      [](const Page& p, std::uintptr_t a) { return p.address < a; });
  first_with_room_ = static_cast<std::size_t>(place - pages_.begin());
  pages_.insert(place, {page});
  spare_ += kPieces;
  return true;
}

}  // namespace millrace::posix
