#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

#include <boost/intrusive/list.hpp>

#include "base/slab_source.h"

namespace millrace {

/// Memory of objects that come and go with connections: those of one size lie side by side, each at the
/// beginning of a cache line, in slabs that go back when they are empty. Not thread-safe.
///
///      slab, aligned to kSlabBytes
///      +--------+- - - -+----------+----------+- - -+----------+
///      | header | shift |  object  |  (free)  |     |  object  |
///      +--------+- - - -+----------+----------+- - -+----------+
///
/// Slabs are shifted differently, so that the first objects of all of them are not in one set of a cache.
///
/// What lies side by side should end at about the same time: an object that stays keeps its whole slab. So
/// there are two kinds of objects, of slabs of their own.
///
/// What address sanitizer watches comes from it, one by one: it then finds who uses an object too late.
class ObjectSlabs {
 public:
  static constexpr std::size_t kSlabBytes = std::size_t{128} << 10;
  static constexpr std::size_t kLargest = 2048;

  enum class Life : std::uint8_t {
    kLong,   ///< as a socket lives
    kBrisk,  ///< as long as a connection has something to do
  };
  static constexpr std::size_t kLives = 2;

  /// Of a source's slabs those are used that are aligned to kSlabBytes; null: the system's.
  explicit ObjectSlabs(SlabSource* source = nullptr) : source_(source) {}
  ObjectSlabs(const ObjectSlabs&) = delete;
  ObjectSlabs& operator=(const ObjectSlabs&) = delete;
  /// All objects are gone.
  ~ObjectSlabs();

  /// Throws std::bad_alloc. What is larger than kLargest gets memory of its own.
  [[nodiscard]] void* take(std::size_t bytes, Life life = Life::kLong);
  /// In no slab: not at the beginning of a cache line, by which give() knows it.
  [[nodiscard]] static void* take_alone(std::size_t bytes);
  /// What take() of any ObjectSlabs returned, or take_alone().
  static void give(void* object) noexcept;

  /// Memory taken from the system, or the source, now.
  [[nodiscard]] std::size_t bytes() const { return slabs_ * kSlabBytes; }

 private:
  static constexpr std::size_t kLine = 64, kAloneAt = 16;
  static constexpr std::uint16_t kShifts = 32, kStep = 11;  ///< in lines
  struct FreeObject {
    FreeObject* next;
  };
  struct Slab : boost::intrusive::list_base_hook<> {
    ObjectSlabs* owner = nullptr;
    FreeObject* free = nullptr;  ///< given back
    std::uint16_t lines = 0;     ///< of an object
    std::uint16_t shift = 0;     ///< lines
    Life life = Life::kLong;
    std::uint32_t cut = 0;  ///< objects that were taken at least once
    std::uint32_t in_use = 0;
    bool from_source = false;

    [[nodiscard]] std::uint32_t capacity() const {
      return static_cast<std::uint32_t>((kSlabBytes - (1 + shift) * kLine) / (lines * kLine));
    }
    [[nodiscard]] bool full() const { return free == nullptr && cut == capacity(); }
  };
  static_assert(sizeof(Slab) <= kLine);
  using List = boost::intrusive::list<Slab, boost::intrusive::constant_time_size<false>>;

  [[nodiscard]] List& with_room(std::size_t lines, Life life) {
    return with_room_[static_cast<std::size_t>(life)][lines - 1];
  }
  [[nodiscard]] Slab& grow(std::uint16_t lines, Life life);
  void drop(Slab& slab) noexcept;
  void take_back(Slab& slab, void* object) noexcept;

  SlabSource* source_;
  std::uint16_t next_shift_ = 0;
  std::size_t slabs_ = 0;
  std::array<std::array<List, kLargest / kLine>, kLives> with_room_;  ///< by the lines of an object
};

/// A base of a class whose objects live in slabs: `new (slabs) T(...)`; delete finds the way back. Where
/// nobody may touch the slabs at the moment, plain `new T(...)` takes memory of its own.
template <ObjectSlabs::Life kLife>
struct LivesInSlabsAs {
  static void* operator new(std::size_t bytes, ObjectSlabs& slabs) { return slabs.take(bytes, kLife); }
  static void* operator new(std::size_t bytes, ObjectSlabs& slabs, const std::nothrow_t&) noexcept {
    try {
      return slabs.take(bytes, kLife);
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }
  static void* operator new(std::size_t bytes) { return ObjectSlabs::take_alone(bytes); }
  static void operator delete(void* object, ObjectSlabs&) noexcept { ObjectSlabs::give(object); }
  static void operator delete(void* object, ObjectSlabs&, const std::nothrow_t&) noexcept {
    ObjectSlabs::give(object);
  }
  static void operator delete(void* object) noexcept { ObjectSlabs::give(object); }
};
using LivesInSlabs = LivesInSlabsAs<ObjectSlabs::Life::kLong>;
using LivesBrisklyInSlabs = LivesInSlabsAs<ObjectSlabs::Life::kBrisk>;

}  // namespace millrace
