#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <boost/smart_ptr/intrusive_ptr.hpp>

namespace millrace::kv {

class Value;
using ValueRef = boost::intrusive_ptr<Value>;

/// The bytes of a value, in one allocation with their count of references. The table has one reference; each
/// answer that still has to send it has another, so that it is sent from where it lies, whatever happens to
/// the key. Who wants to change it must be alone with it: see own(). Belongs to one thread: the count is not
/// atomic.
class alignas(16) Value {
 public:
  static constexpr std::size_t kMaxSize = std::size_t{512} << 20;

  static ValueRef copy_of(std::string_view bytes);
  /// `size` bytes that nobody has written yet. Throws std::bad_alloc.
  static ValueRef of_size(std::size_t size);
  /// Makes `value` one that has `size` bytes and no other reader, keeping what it has (new bytes are zero);
  /// leaves room for more when it grows. May be null before.
  static void own(ValueRef& value, std::size_t size);

  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;

  [[nodiscard]] std::string_view bytes() const { return {data(), size_}; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] char* data() { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] const char* data() const { return reinterpret_cast<const char*>(this + 1); }
  /// What it takes of the heap, the allocator's own words included.
  [[nodiscard]] std::size_t footprint() const;

 private:
  Value(std::size_t size, std::size_t capacity)
      : size_(static_cast<std::uint32_t>(size)), capacity_(static_cast<std::uint32_t>(capacity)) {}
  static ValueRef allocate(std::size_t size, std::size_t capacity);
  friend void intrusive_ptr_add_ref(Value* value) { ++value->references_; }
  friend void intrusive_ptr_release(Value* value) {
    if (--value->references_ == 0) release(value);
  }
  static void release(Value* value);

  std::uint32_t references_ = 0;
  std::uint32_t size_;
  std::uint32_t capacity_;
};

}  // namespace millrace::kv
