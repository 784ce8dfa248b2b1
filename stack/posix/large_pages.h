#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/object_slabs.h"

namespace millrace::posix {

/// The memory of one context's stack that is touched at every request, from transparent huge pages: ten
/// thousand connections are more pages of 4 KiB than a processor knows addresses of. Where the kernel gives
/// none (they are off, or memory is in small pieces), it is as other memory. Not thread-safe.
///
/// It gives pieces of ObjectSlabs::kSlabBytes, aligned to their size. A page whose pieces all came back is
/// unmapped. Of others a few free pieces stay as they are, for what is soon needed again; the memory of the
/// rest goes back to the system, and their pages are small ones until all pieces are in use again.
class LargePages final : public SlabSource {
 public:
  static constexpr std::size_t kPageBytes = std::size_t{2} << 20;
  static constexpr std::size_t kPieceBytes = ObjectSlabs::kSlabBytes;

  LargePages() = default;
  LargePages(const LargePages&) = delete;
  LargePages& operator=(const LargePages&) = delete;
  ~LargePages() override;

  /// Null for more than a piece; and for less than half of one, which would be a waste.
  [[nodiscard]] void* take_slab(std::size_t bytes) override;
  void give_slab(void* slab) override;

  [[nodiscard]] std::size_t pages() const { return pages_.size(); }
  /// Pieces that nobody has, and that yet may take memory.
  [[nodiscard]] std::size_t spare_pieces() const { return spare_; }
  static constexpr std::size_t kMostSpare = 24;

 private:
  static constexpr unsigned kPieces = kPageBytes / kPieceBytes;
  using PieceSet = std::uint16_t;
  static_assert(sizeof(PieceSet) * 8 == kPieces);
  static constexpr auto kAllPieces = static_cast<PieceSet>(~0U);
  struct Page {
    std::uintptr_t address;
    PieceSet free = kAllPieces;
    PieceSet released = 0;  ///< of the free ones: they take no memory
  };

  /// False: there is no memory.
  [[nodiscard]] bool add_page();
  /// The memory of a free piece goes back to the system.
  static void release(Page& page, PieceSet piece);

  std::vector<Page> pages_;          ///< by address: the lowest gives first, so that others become empty
  std::size_t first_with_room_ = 0;  ///< none before it has any
  std::size_t spare_ = 0;
};

}  // namespace millrace::posix
