#include "fault/fault.h"

#include <algorithm>

#include "link/gso.h"

namespace millrace::drivers {
namespace {

/// Frames handed to the inner device at once.
constexpr std::size_t kBatch = 256;

/// A device sees a received frame's partial checksum as one still to be made.
void wish_checksum(Offload& offload) {
  if (offload.rx_checksum == Offload::RxChecksum::kPartial) offload.needs_checksum = true;
}

}  // namespace

FaultDevice::FaultDevice(std::unique_ptr<NetDevice> device, const FaultOptions& options)
    : DecoratorDevice(std::move(device)),
      segment_(options.segment),
      caps_(inner().caps()),
      name_(options.name.empty() ? "fault:" + std::string(inner().name()) : options.name),
      rx_(options.rx, Rng(options.seed)),
      tx_(options.tx,
          Rng(options.seed ^ 0x5458'5458'5458'5458u)) {  // another stream than rx, of the same seed
  if (!segment_) return;
  caps_.tx_checksum = caps_.rx_checksum = caps_.tso = caps_.lro = false;
  caps_.max_gso_bytes = 0;
}

void FaultDevice::add(Impairment& direction, PacketPtr frame, Instant now) {
  if (!segment_) {
    direction.add(std::move(frame), now);
    return;
  }
  wish_checksum(frame->offload);
  if (frame->offload.gso_size == 0) {
    pieces_.push_back(std::move(frame));
  } else if (link::segment(std::move(frame), pieces_)) {
    ++segmented_;
  } else {
    ++unsegmentable_;
  }
  while (PacketPtr piece = pieces_.pop_front()) {
    if (!link::complete_checksum(*piece)) {
      ++unsegmentable_;
      continue;
    }
    piece->offload = {};
    direction.add(std::move(piece), now);
  }
}

std::size_t FaultDevice::rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) {
  last_now_ = now;
  flush_tx(now);
  std::size_t received = rx_.release(out, budget, now);
  while (received < budget) {
    const std::size_t arrived = inner().rx_burst(pool, arrived_, budget, now);
    while (PacketPtr frame = arrived_.pop_front()) add(rx_, std::move(frame), now);
    received += rx_.release(out, budget - received, now);
    if (arrived < budget) break;
  }
  return received;
}

std::size_t FaultDevice::tx_burst(PacketQueue& packets, Instant now) {
  last_now_ = now;
  std::size_t taken = 0;
  flush_tx(now);
  // While the inner device is full, so are we.
  while (!packets.empty() && ready_.empty()) {
    add(tx_, packets.pop_front(), now);
    if (++taken % kBatch == 0) flush_tx(now);
  }
  flush_tx(now);
  tx_full_ = !packets.empty();
  return taken;
}

void FaultDevice::flush_tx(Instant now) {
  do {
    if (ready_.empty()) tx_.release(ready_, kBatch, now);
    if (ready_.empty()) return;
    inner().tx_burst(ready_, now);
  } while (ready_.empty());
}

void FaultDevice::release_packets() {
  rx_.clear();
  tx_.clear();
  arrived_.clear();
  pieces_.clear();
  ready_.clear();
  inner().release_packets();
}

bool FaultDevice::arm() {
  const bool came = inner().arm();
  return came || rx_.next() <= last_now_;
}

Duration FaultDevice::max_sleep(Instant now) const {
  // What the inner device refused is sent when it says so, by its own means.
  const Instant next = ready_.empty() ? std::min(rx_.next(), tx_.next()) : rx_.next();
  const Duration below = inner().max_sleep(now);
  return next == kNever ? below : std::min(below, std::max(next - now, Duration::zero()));
}

}  // namespace millrace::drivers
