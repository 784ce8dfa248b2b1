#include "base/object_slabs.h"

#include <cassert>
#include <new>

#include "base/sanitizer.h"

namespace millrace {

namespace {

constexpr std::align_val_t kSlabAlignment{ObjectSlabs::kSlabBytes};

bool is_aligned(const void* memory) {
  return reinterpret_cast<std::uintptr_t>(memory) % ObjectSlabs::kSlabBytes == 0;
}

}  // namespace

ObjectSlabs::~ObjectSlabs() {
  for (auto& of_a_life : with_room_) {
    for (List& slabs : of_a_life) {
      while (!slabs.empty()) {
        assert(slabs.front().in_use == 0);
        drop(slabs.front());
      }
    }
  }
  assert(slabs_ == 0);
}

void* ObjectSlabs::take(std::size_t bytes, Life life) {
  if (bytes > kLargest) return take_alone(bytes);
  const auto lines = static_cast<std::uint16_t>((bytes + kLine - 1) / kLine);
  if (address_sanitizer()) return ::operator new (bytes, std::align_val_t{kLine});
  List& slabs = with_room(lines, life);
  Slab& slab = slabs.empty() ? grow(lines, life) : slabs.front();
  void* object = slab.free;
  if (slab.free != nullptr) {
    slab.free = slab.free->next;
  } else {
    object =
        reinterpret_cast<std::uint8_t*>(&slab) + (1 + slab.shift + std::size_t{slab.cut++} * lines) * kLine;
  }
  ++slab.in_use;
  if (slab.full()) slabs.erase(slabs.iterator_to(slab));
  return object;
}

void* ObjectSlabs::take_alone(std::size_t bytes) {
  return static_cast<std::uint8_t*>(::operator new (bytes + kAloneAt, std::align_val_t{kLine})) + kAloneAt;
}

void ObjectSlabs::give(void* object) noexcept {
  if (object == nullptr) return;
  if (reinterpret_cast<std::uintptr_t>(object) % kLine != 0)
    return ::operator delete (static_cast<std::uint8_t*>(object) - kAloneAt, std::align_val_t{kLine});
  if (address_sanitizer()) return ::operator delete (object, std::align_val_t{kLine});
  const std::size_t offset = reinterpret_cast<std::uintptr_t>(object) % kSlabBytes;
  auto& slab = *reinterpret_cast<Slab*>(static_cast<std::uint8_t*>(object) - offset);
  slab.owner->take_back(slab, object);
}

void ObjectSlabs::take_back(Slab& slab, void* object) noexcept {
  List& slabs = with_room(slab.lines, slab.life);
  if (slab.full()) slabs.push_back(slab);
  slab.free = new (object) FreeObject{slab.free};
  // The last one with room stays: who opens and closes one connection after the other needs it again.
  if (--slab.in_use == 0 && &slabs.front() != &slabs.back()) drop(slab);
}

ObjectSlabs::Slab& ObjectSlabs::grow(std::uint16_t lines, Life life) {
  void* memory = source_ != nullptr ? source_->take_slab(kSlabBytes) : nullptr;
  if (memory != nullptr && !is_aligned(memory)) {
    source_->give_slab(memory);
    memory = nullptr;
  }
  const bool from_source = memory != nullptr;
  if (!from_source) memory = ::operator new(kSlabBytes, kSlabAlignment);
  auto& slab = *new (memory) Slab;
  slab.owner = this;
  slab.lines = lines;
  slab.life = life;
  slab.shift = next_shift_;
  next_shift_ = static_cast<std::uint16_t>((next_shift_ + kStep) % kShifts);
  slab.from_source = from_source;
  ++slabs_;
  with_room(lines, life).push_back(slab);
  return slab;
}

void ObjectSlabs::drop(Slab& slab) noexcept {
  List& slabs = with_room(slab.lines, slab.life);
  slabs.erase(slabs.iterator_to(slab));
  const bool from_source = slab.from_source;
  slab.~Slab();
  --slabs_;
  if (from_source) {
    source_->give_slab(&slab);
  } else {
    ::operator delete(&slab, kSlabAlignment);
  }
}

}  // namespace millrace
