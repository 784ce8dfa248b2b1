#include "posix/zero_copy.h"

#include <new>

namespace millrace::posix {

BufferRef LentSend::lend(const std::uint8_t* bytes, std::uint32_t size) {
  try {
    void* const place = sends_.buffers_.allocate(sizeof(Buffer), alignof(Buffer));
    ++pieces_;
    // Nobody writes into a Buffer that he did not make, so that the program's bytes stay as they are.
    return BufferRef(new (place) Buffer(const_cast<std::uint8_t*>(bytes), size, &release, this));  // NOLINT
  } catch (const std::bad_alloc&) {
    return BufferRef{};
  }
}

void LentSend::release(Buffer* buffer) {
  auto& send = *static_cast<LentSend*>(buffer->owner());
  buffer->~Buffer();
  send.sends_.buffers_.deallocate(buffer, sizeof(Buffer), alignof(Buffer));
  if (--send.pieces_ == 0 && !send.in_call_) send.sends_.over_.push_back(send);
}

void LentSends::end_call(LentSend& send, bool taken) {
  send.in_call_ = false;
  if (!taken) {
    delete &send;
  } else if (send.pieces_ == 0) {
    over_.push_back(send);
  }
}

void LentSends::tell(List& sends) {
  sends.clear_and_dispose([](LentSend* send) {
    send->done_(send->argument_);
    delete send;
  });
}

}  // namespace millrace::posix
