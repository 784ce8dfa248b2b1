#include "af_xdp/umem.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace millrace::drivers {

Umem::~Umem() {
  withdraw();
  if (area_ != nullptr) ::munmap(area_, std::size_t{frames_} * frame_bytes_);
}

std::string Umem::open(std::uint32_t frames, std::uint32_t frame_bytes, std::uint32_t slots) {
  // Shared with forked children, whichever of which goes on reading.
  const std::size_t bytes = std::size_t{frames} * frame_bytes;
  void* area =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (area == MAP_FAILED)
    return "cannot map " + std::to_string(bytes >> 20) + " MiB for frames: " + std::strerror(errno);
  area_ = static_cast<std::uint8_t*>(area);
  frames_ = frames;
  frame_bytes_ = frame_bytes;
  slots_ = slots;
  free_.reserve(frames);
  for (std::uint32_t i = 0; i < frames; ++i)
    buffers_.emplace_back(area_ + std::size_t{i} * frame_bytes, frame_bytes, &Umem::release, this);
  return {};
}

std::string Umem::announce() {
  xsk_umem_config config{};
  config.fill_size = config.comp_size = slots_;
  config.frame_size = frame_bytes_;
  // libxdp leaves the positions of before in them.
  fill_ = {};
  completion_ = {};
  const int error =
      xsk_umem__create(&umem_, area_, std::uint64_t{frames_} * frame_bytes_, &fill_, &completion_, &config);
  if (error != 0) {
    umem_ = nullptr;
    return "cannot register the frames' memory: " + std::string(std::strerror(-error)) +
           (error == -EPERM ? "; CAP_NET_RAW is needed: run as root" : "") +
           (error == -ENOBUFS ? "; raise the limit of locked memory: ulimit -l unlimited" : "") +
           (error == -EAFNOSUPPORT ? "; this kernel was built without AF_XDP (CONFIG_XDP_SOCKETS)" : "");
  }
  free_.clear();
  for (std::uint32_t i = frames_; i-- != 0;) {
    if (buffers_[i].references() == 0) free_.push_back(i);
  }
  return {};
}

void Umem::withdraw() {
  if (umem_ == nullptr) return;
  static_cast<void>(xsk_umem__delete(umem_));
  umem_ = nullptr;
}

std::uint64_t Umem::take() {
  const std::uint32_t index = free_.back();
  free_.pop_back();
  return std::uint64_t{index} * frame_bytes_;
}

BufferRef Umem::lend(std::uint64_t address) {
  return BufferRef(&buffers_[index_of(address)]);
}

void Umem::release(Buffer* buffer) {
  auto& umem = *static_cast<Umem*>(buffer->owner());
  umem.free_.push_back(umem.index_of(static_cast<std::uint64_t>(buffer->bytes() - umem.area_)));
}

void Umem::refill(std::size_t keep) {
  if (free_.size() <= keep) return;
  const std::uint32_t room = xsk_prod_nb_free(&fill_, slots_);
  const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(room, free_.size() - keep));
  std::uint32_t at = 0;
  if (count == 0 || xsk_ring_prod__reserve(&fill_, count, &at) != count) return;
  for (std::uint32_t i = 0; i < count; ++i) *xsk_ring_prod__fill_addr(&fill_, at + i) = take();
  xsk_ring_prod__submit(&fill_, count);
}

std::size_t Umem::reclaim() {
  std::uint32_t at = 0;
  const std::uint32_t count = xsk_ring_cons__peek(&completion_, slots_, &at);
  for (std::uint32_t i = 0; i < count; ++i) give(*xsk_ring_cons__comp_addr(&completion_, at + i));
  if (count != 0) xsk_ring_cons__release(&completion_, count);
  return count;
}

}  // namespace millrace::drivers
