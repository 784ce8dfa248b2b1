#include "posix/large_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

namespace millrace::posix {

namespace {

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
  const int piece = std::countr_zero(page.free);
  page.free &= static_cast<PieceSet>(page.free - 1);
  return address(page.address + static_cast<std::uintptr_t>(piece) * kPieceBytes);
}

void LargePages::give_slab(void* slab) {
  const auto where = reinterpret_cast<std::uintptr_t>(slab);
  const std::uintptr_t start = where & ~(kPageBytes - 1);
  const auto page = std::lower_bound(pages_.begin(), pages_.end(), start,
                                     [](const Page& p, std::uintptr_t a) { return p.address < a; });
  page->free |= static_cast<PieceSet>(1U << ((where - start) / kPieceBytes));
  first_with_room_ = std::min(first_with_room_, static_cast<std::size_t>(page - pages_.begin()));
  if (page->free != kAllPieces || pages_.size() == 1) return;
  pages_.erase(page);
  munmap(address(start), kPageBytes);
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
  return true;
}

}  // namespace millrace::posix
