#include "tcp/scoreboard.h"

#include <cassert>
#include <iterator>

namespace millrace::tcp {

namespace {

struct BySeq {
  bool operator()(SeqNum a, const SentSegment& b) const { return a < b.seq; }
  bool operator()(const SentSegment& a, SeqNum b) const { return a.seq < b; }
};

}  // namespace

SentSegmentPool::~SentSegmentPool() {
  for (Block* block : blocks_) {
    block->~Block();
    ObjectSlabs::give(block);
  }
}

void SentSegmentPool::grow() {
  blocks_.reserve(blocks_.size() + 1);
  free_.reserve((blocks_.size() + 1) * kBlock);
  Block& block = *new (slabs_.take(sizeof(Block), ObjectSlabs::Life::kBrisk)) Block;
  blocks_.push_back(&block);
  for (std::size_t i = 0; i < kBlock; ++i) free_.push_back(&block[kBlock - 1 - i]);
}

Scoreboard::Segment* Scoreboard::append(SeqNum seq, std::uint32_t length, std::uint32_t mss, Instant now) {
  Segment* segment = pool_.allocate(all_.empty());
  if (segment == nullptr) return nullptr;
  segment->seq = seq;
  segment->length = length;
  segment->fate = Segment::Fate::kInFlight;
  segment->retransmissions = 0;
  segment->mss = static_cast<std::uint16_t>(mss);
  segment->delivery.sent_time = now;
  all_.push_back(*segment);
  by_time_.push_back(*segment);
  in_flight_ += length;
  ++count_;
  return segment;
}

void Scoreboard::leave(Segment& segment) {
  switch (segment.fate) {
    case Segment::Fate::kInFlight:
      by_time_.erase(by_time_.iterator_to(segment));
      in_flight_ -= segment.length;
      if (segment.retransmitted()) sent_again_ -= segment.length;
      break;
    case Segment::Fate::kLost:
      lost_.erase(lost_.iterator_to(segment));
      lost_bytes_ -= segment.length;
      break;
    case Segment::Fate::kSacked:
      sacked_ -= segment.length;
      break;
  }
}

void Scoreboard::forget_only() {
  Segment* const segment = head();
  all_.clear();
  by_time_.clear();
  in_flight_ = 0;
  count_ = 0;
  pool_.free(segment);
}

void Scoreboard::erase(Segment& segment) {
  if (--count_ == 0) {
    all_.clear();  // what a tree would do for its last node, in far fewer steps
  } else {
    all_.erase(all_.iterator_to(segment));
  }
  pool_.free(&segment);
}

Scoreboard::Part Scoreboard::whole_segments(const Segment& segment, SeqNum left, SeqNum right) {
  Part part{0, segment.length};
  if (left > segment.seq)
    part.begin = (SeqNum::distance(segment.seq, left) + segment.mss - 1) / segment.mss * segment.mss;
  // The last byte may be a FIN, which not all peers report.
  if (right + 1 == segment.end()) {
    --part.end;
  } else if (right < segment.end()) {
    part.end = SeqNum::distance(segment.seq, right) / segment.mss * segment.mss;
  }
  return part;
}

void Scoreboard::become_sacked(Segment& segment) {
  leave(segment);
  if (sacked_ == 0 || segment.end() > highest_sacked_) highest_sacked_ = segment.end();
  segment.fate = Segment::Fate::kSacked;
  sacked_ += segment.length;
}

void Scoreboard::merge_sacked(Segment& segment) {
  auto at = all_.iterator_to(segment);
  if (const auto next = std::next(at); next != all_.end() && next->fate == Segment::Fate::kSacked) {
    segment.length += next->length;
    erase(*next);
  }
  if (at == all_.begin()) return;
  Segment& before = *std::prev(at);
  if (before.fate != Segment::Fate::kSacked) return;
  before.length += segment.length;
  erase(segment);
}

void Scoreboard::mark_lost(Segment& segment) {
  assert(segment.fate == Segment::Fate::kInFlight);
  leave(segment);
  segment.fate = Segment::Fate::kLost;
  lost_.insert(segment);
  lost_bytes_ += segment.length;
}

void Scoreboard::mark_all_lost() {
  while (!by_time_.empty()) mark_lost(by_time_.front());
}

void Scoreboard::unmark_lost() {
  // Most often sent longest ago of all, in sequence: to the front, the last of them first.
  while (!lost_.empty()) {
    Segment& segment = *lost_.rbegin();
    leave(segment);
    segment.fate = Segment::Fate::kInFlight;
    auto at = by_time_.begin();
    while (at != by_time_.end() && sent_before(*at, segment)) ++at;
    by_time_.insert(at, segment);
    in_flight_ += segment.length;
    if (segment.retransmitted()) sent_again_ += segment.length;
  }
}

void Scoreboard::renege() {
  for (Segment& segment : all_) {
    if (segment.fate != Segment::Fate::kSacked) continue;
    leave(segment);
    segment.fate = Segment::Fate::kLost;
    lost_.insert(segment);
    lost_bytes_ += segment.length;
  }
}

bool Scoreboard::split(Segment& segment, std::uint32_t length) {
  assert(length != 0 && length < segment.length);
  Segment* rest = count_ < kMostPieces ? pool_.allocate(false) : nullptr;
  if (rest == nullptr) return false;
  rest->seq = segment.seq + length;
  rest->length = segment.length - length;
  rest->fate = segment.fate;
  rest->retransmissions = segment.retransmissions;
  rest->mss = segment.mss;
  rest->delivery = segment.delivery;
  segment.length = length;
  all_.insert(std::next(all_.iterator_to(segment)), *rest);
  ++count_;
  if (segment.fate == Segment::Fate::kInFlight) {
    by_time_.insert(std::next(by_time_.iterator_to(segment)), *rest);
  } else if (segment.fate == Segment::Fate::kLost) {
    lost_.insert(std::next(lost_.iterator_to(segment)), *rest);
  }
  return true;
}

void Scoreboard::join_lost(Segment& segment, std::uint32_t most) {
  for (;;) {
    const auto next = std::next(all_.iterator_to(segment));
    if (next == all_.end() || next->fate != Segment::Fate::kLost || segment.length + next->length > most)
      return;
    lost_.erase(lost_.iterator_to(*next));
    segment.length += next->length;
    segment.retransmissions = std::max(segment.retransmissions, next->retransmissions);
    erase(*next);
  }
}

void Scoreboard::on_retransmitted(Segment& segment, std::uint32_t mss, Instant now) {
  assert(segment.fate != Segment::Fate::kSacked);
  leave(segment);
  segment.fate = Segment::Fate::kInFlight;
  if (segment.retransmissions != 255) ++segment.retransmissions;
  segment.mss = static_cast<std::uint16_t>(mss);
  segment.delivery.sent_time = now;
  auto at = by_time_.end();
  while (at != by_time_.begin() && sent_before(segment, *std::prev(at))) --at;
  by_time_.insert(at, segment);
  in_flight_ += segment.length;
  sent_again_ += segment.length;
}

Scoreboard::Segment* Scoreboard::find(SeqNum seq) {
  auto at = all_.upper_bound(seq, BySeq{});
  if (at == all_.begin()) return nullptr;
  --at;
  return seq < at->end() ? &*at : nullptr;
}

Scoreboard::Segment* Scoreboard::next_sent(Segment& segment) {
  const auto next = std::next(by_time_.iterator_to(segment));
  return next == by_time_.end() ? nullptr : &*next;
}

SeqNum Scoreboard::below_sacked(std::uint32_t bytes) const {
  std::uint32_t seen = 0;
  if (sacked_ > bytes) {
    // From the highest that is reported: behind it there may be thousands.
    for (auto at = all_.upper_bound(highest_sacked_ - 1, BySeq{}); at != all_.begin();) {
      --at;
      if (at->fate != Segment::Fate::kSacked) continue;
      seen += at->length;
      if (seen > bytes) return at->seq;
    }
  }
  return all_.empty() ? SeqNum{} : all_.begin()->seq;
}

void Scoreboard::clear() {
  while (!all_.empty()) {
    Segment& first = *all_.begin();
    leave(first);
    erase(first);
  }
}

}  // namespace millrace::tcp
