#include "base/object_slabs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "base/sanitizer.h"

namespace millrace::test {

namespace {

/// Slabs from the system, counted; `left` says how many it has.
class CountedSource final : public SlabSource {
 public:
  void* take_slab(std::size_t bytes) override {
    if (left == 0) return nullptr;
    --left;
    void* slab = ::operator new (bytes + shift, std::align_val_t{ObjectSlabs::kSlabBytes});
    out.insert(slab);
    return static_cast<std::uint8_t*>(slab) + shift;
  }
  void give_slab(void* slab) override {
    void* begin = static_cast<std::uint8_t*>(slab) - shift;
    EXPECT_EQ(out.erase(begin), 1u);
    ::operator delete (begin, std::align_val_t{ObjectSlabs::kSlabBytes});
    ++left;
  }

  int left = 1000;
  std::size_t shift = 0;
  std::set<void*> out;
};

class ObjectSlabsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (address_sanitizer()) GTEST_SKIP() << "address sanitizer watches each object";
  }
};

TEST_F(ObjectSlabsTest, ObjectsBeginCacheLinesAndDoNotOverlap) {
  CountedSource source;
  ObjectSlabs slabs(&source);
  std::mt19937 random(7);
  struct Object {
    std::uint8_t* bytes;
    std::size_t size;
    std::uint8_t mark;
  };
  std::vector<Object> objects;
  for (int step = 0; step < 20'000; ++step) {
    if (objects.empty() || random() % 5 < (step < 10'000 ? 3u : 2u)) {
      const std::size_t size = 1 + random() % ObjectSlabs::kLargest;
      Object object{static_cast<std::uint8_t*>(slabs.take(size)), size, static_cast<std::uint8_t>(random())};
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(object.bytes) % 64, 0u);
      std::memset(object.bytes, object.mark, size);
      objects.push_back(object);
    } else {
      std::swap(objects[random() % objects.size()], objects.back());
      const Object& object = objects.back();
      ASSERT_EQ(std::count(object.bytes, object.bytes + object.size, object.mark),
                static_cast<std::ptrdiff_t>(object.size));
      ObjectSlabs::give(object.bytes);
      objects.pop_back();
    }
    ASSERT_EQ(slabs.bytes(), source.out.size() * ObjectSlabs::kSlabBytes);
  }
  for (const Object& object : objects) ObjectSlabs::give(object.bytes);
}

TEST_F(ObjectSlabsTest, WhatIsEmptyGoesBackButForTheLastOne) {
  CountedSource source;
  {
    ObjectSlabs slabs(&source);
    std::vector<void*> objects;
    while (source.out.size() < 5) objects.push_back(slabs.take(1600));
    EXPECT_LE(objects.size(), 1 + 4 * ((ObjectSlabs::kSlabBytes - 64) / 1600));
    EXPECT_GE(objects.size(), 1 + 4 * (ObjectSlabs::kSlabBytes - 33 * 64) / 1600 - 4);
    for (void* object : objects) ObjectSlabs::give(object);
    EXPECT_EQ(source.out.size(), 1u);
    ObjectSlabs::give(slabs.take(1600));
    EXPECT_EQ(source.out.size(), 1u);
  }
  EXPECT_TRUE(source.out.empty());
}

TEST_F(ObjectSlabsTest, TheSystemHelpsWhenTheSourceHasNone) {
  CountedSource source;
  source.left = 1;
  ObjectSlabs slabs(&source);
  std::vector<void*> objects;
  while (slabs.bytes() < 3 * ObjectSlabs::kSlabBytes) objects.push_back(slabs.take(2048));
  for (void* object : objects) ObjectSlabs::give(object);
}

TEST_F(ObjectSlabsTest, SlabsThatAreNotAlignedAreRefused) {
  CountedSource source;
  source.shift = 64;
  ObjectSlabs slabs(&source);
  void* object = slabs.take(100);
  EXPECT_TRUE(source.out.empty());
  ObjectSlabs::give(object);
}

TEST_F(ObjectSlabsTest, WhatLivesBrisklyLeavesNoHolesAmongTheRest) {
  ObjectSlabs slabs;
  std::vector<void*> stay, go;
  for (int i = 0; i < 4000; ++i) {
    stay.push_back(slabs.take(192));
    go.push_back(slabs.take(192, ObjectSlabs::Life::kBrisk));
  }
  const std::size_t both = slabs.bytes();
  for (void* object : go) ObjectSlabs::give(object);
  EXPECT_LE(slabs.bytes(), both / 2 + ObjectSlabs::kSlabBytes);
  for (void* object : stay) ObjectSlabs::give(object);
}

struct Base {
  virtual ~Base() = default;
};
struct Derived final : Base, LivesInSlabs {
  explicit Derived(int& alive) : alive_(alive) { ++alive_; }
  ~Derived() override { --alive_; }
  int& alive_;
};
struct Throws : LivesInSlabs {
  Throws() { throw 1; }
};

TEST(LivesInSlabs, DeleteThroughABaseFindsTheWayBack) {
  CountedSource source;
  ObjectSlabs slabs(&source);
  int alive = 0;
  std::unique_ptr<Base> object(new (slabs) Derived(alive));
  EXPECT_EQ(alive, 1);
  const void* const place = object.get();
  object.reset();
  EXPECT_EQ(alive, 0);
  if (!address_sanitizer()) {
    object.reset(new (slabs) Derived(alive));
    EXPECT_EQ(object.get(), place);
  }
  EXPECT_THROW((void)new (slabs) Throws, int);
  EXPECT_THROW((void)new (slabs, std::nothrow) Throws, int);
}

TEST(LivesInSlabs, OneThatLivesAloneIsDeletedInTheSameWay) {
  int alive = 0;
  std::unique_ptr<Base> object = std::make_unique<Derived>(alive);
  EXPECT_EQ(alive, 1);
  object.reset();
  EXPECT_EQ(alive, 0);
}

}  // namespace

}  // namespace millrace::test
