#include "posix/fd_table.h"

#include <errno.h>

#include <new>
#include <stdexcept>

namespace millrace::posix {

FdTable::~FdTable() {
  for (auto& chunk : chunks_) delete[] chunk.load(std::memory_order_relaxed);
}

bool FdTable::grow() {
  // Four levels of 64 are 2^24 numbers. Words beyond the capacity do not exist: the level above counts them
  // full.
  Slot* chunk = new (std::nothrow) Slot[kChunk];
  if (chunk == nullptr) return false;
  const std::uint32_t index = capacity_ / kChunk;
  capacity_ += kChunk;
  std::size_t words = capacity_ / 64;
  for (auto& level : full_) {
    // A new word stands for numbers that are free as far as they exist.
    while (level.size() < words) level.push_back(0);
    words = (words + 63) / 64;
  }
  chunks_[index].store(chunk, std::memory_order_release);
  return true;
}

int FdTable::reserve() {
  lock();
  const auto done = [this](int result) {
    unlock();
    return result;
  };
  for (;;) {
    if (capacity_ != 0) {
      // Down from the top, always into the first child that is not full.
      std::size_t word = 0;
      bool found = true;
      for (unsigned level = kLevels; level-- > 0;) {
        if (word >= full_[level].size()) {
          found = false;
          break;
        }
        const auto bit = static_cast<std::size_t>(std::countr_one(full_[level][word]));
        if (bit == 64) {
          found = false;
          break;
        }
        word = word * 64 + bit;
      }
      if (found && word < capacity_) {
        if (word >= limit_) return done(-EMFILE);
        std::size_t at = word;
        for (unsigned level = 0; level < kLevels; ++level) {
          std::uint64_t& bits = full_[level][at / 64];
          bits |= std::uint64_t{1} << (at % 64);
          if (bits != ~std::uint64_t{0}) break;
          at /= 64;
        }
        return done(kFirstFd + static_cast<int>(word));
      }
    }
    if (capacity_ >= limit_ || capacity_ >= kMaxLimit) return done(-EMFILE);
    if (!grow()) return done(-ENOMEM);
  }
}

void FdTable::release(int fd) {
  std::size_t at = static_cast<std::uint32_t>(fd) - static_cast<std::uint32_t>(kFirstFd);
  lock();
  for (auto& level : full_) {
    std::uint64_t& bits = level[at / 64];
    const bool was_full = bits == ~std::uint64_t{0};
    bits &= ~(std::uint64_t{1} << (at % 64));
    if (!was_full) break;
    at /= 64;
  }
  unlock();
}

void FdTable::install(int fd, File& file) {
  Slot& entry = *slot(fd);
  entry.file = &file;
  entry.known_as.store(-1, std::memory_order_relaxed);
  entry.context.store(&file.context(), std::memory_order_release);
}

void FdTable::move(int fd, File& file) {
  Slot& entry = *slot(fd);
  entry.file = &file;
  entry.context.store(&file.context(), std::memory_order_release);
}

void FdTable::remove(int fd) {
  Slot& entry = *slot(fd);
  entry.file = nullptr;
  entry.context.store(nullptr, std::memory_order_release);
  release(fd);
}

}  // namespace millrace::posix
