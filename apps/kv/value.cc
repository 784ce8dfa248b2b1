#include "value.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "heap.h"

namespace millrace::kv {

namespace {
constexpr std::size_t kMaxRoom = std::size_t{1} << 20;
}

ValueRef Value::allocate(std::size_t size, std::size_t capacity) {
  void* memory = std::malloc(sizeof(Value) + capacity);
  if (memory == nullptr) throw std::bad_alloc();
  return ValueRef(new (memory) Value(size, capacity));
}

void Value::release(Value* value) {
  value->~Value();
  std::free(value);
}

ValueRef Value::of_size(std::size_t size) {
  return allocate(size, size);
}

ValueRef Value::copy_of(std::string_view bytes) {
  ValueRef value = allocate(bytes.size(), bytes.size());
  std::memcpy(value->data(), bytes.data(), bytes.size());
  return value;
}

void Value::own(ValueRef& value, std::size_t size) {
  const std::size_t before = value ? value->size_ : 0;
  if (!value || value->references_ > 1 || size > value->capacity_) {
    const std::size_t room = size > before && before > 0 ? std::min(size, kMaxRoom) : 0;
    ValueRef own = allocate(size, std::min(size + room, kMaxSize));
    if (value) std::memcpy(own->data(), value->data(), std::min(before, size));
    value = std::move(own);
  }
  if (size > before) std::memset(value->data() + before, 0, size - before);
  value->size_ = static_cast<std::uint32_t>(size);
}

std::size_t Value::footprint() const {
  return heap_footprint(this);
}

}  // namespace millrace::kv
