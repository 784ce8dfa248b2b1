#include "queues/steered_device.h"

#include <algorithm>
#include <cstring>

#include "base/byte_order.h"
#include "base/checksum.h"
#include "frame_headers.h"
#include "queues/frame_home.h"

namespace millrace::drivers {

SteeredDevice::SteeredDevice(std::unique_ptr<NetDevice> inner, std::uint32_t index, MacAddress mac,
                             Mailboxes mailboxes)
    : DecoratorDevice(std::move(inner)),
      index_(index),
      mac_(mac),
      mailboxes_(std::move(mailboxes)),
      queues_{static_cast<std::uint32_t>(mailboxes_->size()), this->inner().rss()} {}

std::uint32_t SteeredDevice::queue_for(std::uint32_t local_address, std::uint16_t local_port,
                                       std::uint32_t remote_address, std::uint16_t remote_port) const {
  return queues_.queue(remote_address, remote_port, local_address, local_port);
}

Mailbox::Letter SteeredDevice::copy_of(const Packet& frame) {
  Mailbox::Letter letter;
  letter.length = frame.length();
  letter.bytes = std::make_unique_for_overwrite<std::uint8_t[]>(letter.length);
  frame.copy_out(0, {letter.bytes.get(), letter.length});
  letter.offload = frame.offload;
  return letter;
}

void SteeredDevice::post(std::uint32_t queue, Mailbox::Letter letter) {
  ++((*mailboxes_)[queue].post(std::move(letter)) ? handed_over_ : overflowed_);
}

bool SteeredDevice::keep(Packet& frame) {
  const auto look = static_cast<std::uint32_t>(std::min<std::size_t>(frame.length(), FrameHome::kLook));
  if (frame.linear_length() < look && !frame.gather(look)) return true;
  const FrameHome home = FrameHome::of(frame.linear(), queues_);
  if (home.everybody) {
    for (std::uint32_t queue = 0; queue < queues_.count; ++queue) {
      if (queue != index_) post(queue, copy_of(frame));
    }
    return true;
  }
  if (home.queue == index_) return true;
  post(home.queue, copy_of(frame));
  return false;
}

std::size_t SteeredDevice::rx_burst(PacketPool& pool, PacketQueue& out, std::size_t budget, Instant now) {
  const bool recorded = wants_fates();
  fates_.clear();
  next_fate_ = 0;
  const std::size_t received = inner().rx_burst(pool, batch_, budget, now);
  while (PacketPtr frame = batch_.pop_front()) {
    const bool ours = keep(*frame);
    if (recorded) fates_.push_back(ours ? Fate::kOurs : Fate::kHandedOver);
    if (ours) out.push_back(std::move(frame));
  }
  const std::uint64_t lost_before = lost_;
  const std::size_t taken =
      received < budget ? (*mailboxes_)[index_].take(pool, out, budget - received, now, lost_) : 0;
  if (recorded) fates_.insert(fates_.end(), taken - (lost_ - lost_before), Fate::kTakenOver);
  taken_ += taken;
  return received + taken;
}

void SteeredDevice::frame_done(std::string_view counters) {
  while (next_fate_ < fates_.size()) {
    const Fate fate = fates_[next_fate_++];
    if (fate != Fate::kTakenOver) inner().frame_done(fate == Fate::kOurs ? counters : std::string_view());
    if (fate != Fate::kHandedOver) return;
  }
}

bool SteeredDevice::take_reassembled(const Packet& packet) {
  constexpr std::size_t kLargestHeader = 60, kPortsSize = 4;
  const std::uint8_t* first = packet.network_header();
  const std::size_t header = static_cast<std::size_t>(first[0] & 0x0f) * 4;
  const std::size_t total = header + packet.length();
  if (total > 0xffff) return false;
  Mailbox::Letter letter;
  letter.length = static_cast<std::uint32_t>(kEthernetHeader + total);
  std::array<std::uint8_t, kLargestHeader + kPortsSize> start{};
  std::memcpy(start.data(), first, header);
  packet.copy_out(0, {start.data() + header, std::min<std::size_t>(kPortsSize, packet.length())});
  // Whole now: what the first fragment's header says of length and place is over.
  store_be16(&start[2], static_cast<std::uint16_t>(total));
  store_be16(&start[6], 0);
  store_be16(&start[10], 0);
  store_be16(&start[10], internet_checksum({start.data(), header}));
  const std::uint32_t home =
      FrameHome::of_packet({start.data(), std::min(total, header + kPortsSize)}, queues_);
  if (home == index_) return false;
  letter.bytes = std::make_unique_for_overwrite<std::uint8_t[]>(letter.length);
  std::uint8_t* frame = letter.bytes.get();
  std::memcpy(frame, mac_.bytes.data(), mac_.bytes.size());
  std::memcpy(frame + mac_.bytes.size(), mac_.bytes.data(), mac_.bytes.size());
  store_be16(frame + 12, 0x0800);
  std::memcpy(frame + kEthernetHeader, start.data(), header);
  packet.copy_out(0, {frame + kEthernetHeader + header, packet.length()});
  letter.offload.rx_checksum = packet.offload.rx_checksum == Offload::RxChecksum::kVerified
                                   ? Offload::RxChecksum::kVerified
                                   : Offload::RxChecksum::kUnknown;
  post(home, std::move(letter));
  return true;
}

void SteeredDevice::release_packets() {
  batch_.clear();
  inner().release_packets();
}

std::span<const WaitFd> SteeredDevice::wait_fds() {
  const std::span<const WaitFd> below = inner().wait_fds();
  const std::size_t count = std::min(below.size(), wait_fds_.size() - 1);
  std::copy_n(below.begin(), count, wait_fds_.begin());
  wait_fds_[count] = {(*mailboxes_)[index_].fd(), true, false};
  return {wait_fds_.data(), count + 1};
}

bool SteeredDevice::arm() {
  const bool posted = (*mailboxes_)[index_].arm();
  return inner().arm() || posted;
}

DeviceStats SteeredDevice::stats() {
  DeviceStats stats = inner().stats();
  stats.rx_no_memory += lost_;
  stats.rx_dropped += overflowed_;
  return stats;
}

std::vector<int> SteeredDevice::descriptors() const {
  std::vector<int> all = inner().descriptors();
  all.push_back((*mailboxes_)[index_].fd());
  return all;
}

std::vector<std::pair<std::string, std::uint64_t>> SteeredDevice::extended_stats() {
  std::vector<std::pair<std::string, std::uint64_t>> all = inner().extended_stats();
  all.emplace_back("HandedOver", handed_over_);
  all.emplace_back("TakenOver", taken_);
  all.emplace_back("MailboxOverflows", overflowed_);
  return all;
}

std::vector<std::unique_ptr<NetDevice>> steer(std::vector<std::unique_ptr<NetDevice>> queues) {
  const auto mailboxes = std::make_shared<std::vector<Mailbox>>(queues.size());
  const MacAddress mac = queues.front()->mac();
  std::uint32_t index = 0;
  for (std::unique_ptr<NetDevice>& queue : queues)
    queue = std::make_unique<SteeredDevice>(std::move(queue), index++, mac, mailboxes);
  return queues;
}

}  // namespace millrace::drivers
