#pragma once

#include <xdp/xsk.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "packet/buffer.h"

namespace millrace::drivers {

/// The frames that an AF_XDP socket receives into and sends from: memory of ours that the kernel knows.
///
///             take()                fill ring            RX ring
///     free  --------->  to the kernel  ---->  received  ------->  lent to a packet  --+
///       ^ ^-------------------------- completion ring <---- TX ring <---- sent        |
///       +-----------------------------------------------------------------------------+
class Umem {
 public:
  Umem() = default;
  Umem(const Umem&) = delete;
  Umem& operator=(const Umem&) = delete;
  ~Umem();

  /// Empty, or what failed. `frames` and `slots` are powers of two.
  [[nodiscard]] std::string open(std::uint32_t frames, std::uint32_t frame_bytes, std::uint32_t slots);
  /// Tells the kernel of the memory, after open() and again after withdraw(). Empty, or what failed.
  [[nodiscard]] std::string announce();
  /// The kernel forgets it, once the socket is closed; frames that are not lent are free again.
  void withdraw();

  [[nodiscard]] std::size_t available() const { return free_.size(); }
  [[nodiscard]] std::uint32_t frame_bytes() const { return frame_bytes_; }
  /// An address within the umem. Precondition: available() != 0.
  [[nodiscard]] std::uint64_t take();
  void give(std::uint64_t address) { free_.push_back(index_of(address)); }
  [[nodiscard]] std::uint8_t* at(std::uint64_t address) const { return area_ + address; }
  /// A share in the frame that holds `address`; the frame is free when the last one goes.
  [[nodiscard]] BufferRef lend(std::uint64_t address);
  /// Where `address` lies in its frame.
  [[nodiscard]] std::uint32_t offset_of(std::uint64_t address) const {
    return static_cast<std::uint32_t>(address % frame_bytes_);
  }

  /// Gives the kernel frames to receive into, as many as there are, up to `keep` that stay free.
  void refill(std::size_t keep);
  /// Takes back what has been sent. Returns how many.
  std::size_t reclaim();

  [[nodiscard]] xsk_umem* handle() const { return umem_; }
  [[nodiscard]] xsk_ring_prod& fill_ring() { return fill_; }
  [[nodiscard]] xsk_ring_cons& completion_ring() { return completion_; }

 private:
  [[nodiscard]] std::uint32_t index_of(std::uint64_t address) const {
    return static_cast<std::uint32_t>(address / frame_bytes_);
  }
  static void release(Buffer* buffer);

  std::uint8_t* area_ = nullptr;
  std::uint32_t frames_ = 0;
  std::uint32_t frame_bytes_ = 0;
  std::uint32_t slots_ = 0;
  xsk_umem* umem_ = nullptr;
  xsk_ring_prod fill_{};
  xsk_ring_cons completion_{};
  std::vector<std::uint32_t> free_;  ///< last given back first: the warmest
  std::deque<Buffer> buffers_;       ///< one a frame
};

}  // namespace millrace::drivers
