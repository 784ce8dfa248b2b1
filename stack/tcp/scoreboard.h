#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include "base/object_slabs.h"
#include "base/seq.h"
#include "base/time.h"
#include "tcp/delivery_rate.h"

namespace millrace::tcp {

/// One transmission, as far as it has the same fate everywhere: a segment, a super-segment, or what is left
/// of one. A FIN counts as a byte.
struct SentSegment : boost::intrusive::set_base_hook<boost::intrusive::optimize_size<true>> {
  enum class Fate : std::uint8_t {
    kInFlight,  ///< sent, for all we know on its way
    kLost,      ///< to be sent again
    kSacked,    ///< the peer has it
  };

  SeqNum seq;
  std::uint32_t length = 0;
  Fate fate = Fate::kInFlight;
  std::uint8_t retransmissions = 0;  ///< stays at the largest value
  std::uint16_t mss = 0;             ///< of a super-segment: the length of each of its segments but the last
  SegmentDelivery delivery;
  boost::intrusive::list_member_hook<> by_time;
  boost::intrusive::set_member_hook<boost::intrusive::optimize_size<true>> by_loss;

  [[nodiscard]] SeqNum end() const { return seq + length; }
  /// The last time.
  [[nodiscard]] Instant sent_at() const { return delivery.sent_time; }
  [[nodiscard]] bool retransmitted() const { return retransmissions != 0; }

  friend bool operator<(const SentSegment& a, const SentSegment& b) { return a.seq < b.seq; }
};
static_assert(sizeof(SentSegment) == 128, "two cache lines");

/// Storage of SentSegments for all connections of a stack: grows by blocks, never shrinks.
class SentSegmentPool {
 public:
  SentSegmentPool(std::size_t limit, ObjectSlabs& slabs) : slabs_(slabs), limit_(limit) {}
  SentSegmentPool(const SentSegmentPool&) = delete;
  SentSegmentPool& operator=(const SentSegmentPool&) = delete;
  ~SentSegmentPool();
  /// Null: the limit is reached. `needed`: it does not count.
  [[nodiscard]] SentSegment* allocate(bool needed) {
    if (!needed && in_use() >= limit_) return nullptr;
    if (free_.empty()) [[unlikely]]
      grow();
    SentSegment* segment = free_.back();
    free_.pop_back();
    return segment;
  }
  void free(SentSegment* segment) { free_.push_back(segment); }
  [[nodiscard]] std::size_t in_use() const { return blocks_.size() * kBlock - free_.size(); }

 private:
  void grow();

  static constexpr std::size_t kBlock = ObjectSlabs::kLargest / sizeof(SentSegment);
  using Block = std::array<SentSegment, kBlock>;
  ObjectSlabs& slabs_;
  std::size_t limit_;
  std::vector<Block*> blocks_;
  std::vector<SentSegment*> free_;
};

/// What is outstanding and what became of it (RFC 2018, RFC 6675): adjacent, disjoint segments from snd_una
/// to snd_max,
///
///     snd_una                                            snd_max
///     [ in flight )[ sacked     )[ lost )[ in flight     )
///
/// Neighbours that are sacked become one, so that the blocks a peer repeats in every ACK cost one look-up,
/// and an ACK is worth work only for what is new in it. Those in flight are also in the order of their last
/// transmission (RFC 8985 §6.2; in sequence where it was at one instant), those lost in sequence.
class Scoreboard {
 public:
  using Segment = SentSegment;

  explicit Scoreboard(SentSegmentPool& pool) : pool_(pool) {}
  Scoreboard(const Scoreboard&) = delete;
  Scoreboard& operator=(const Scoreboard&) = delete;
  ~Scoreboard() { clear(); }

  /// A new transmission at the end. Null: no memory; but there is always some for the first, so that those
  /// who have much outstanding keep nobody else from sending.
  [[nodiscard]] Segment* append(SeqNum seq, std::uint32_t length, std::uint32_t mss, Instant now);
  /// Everything before `una` has arrived: `arrived(segment, bytes)` is called for each piece that was not
  /// known to have, before it is forgotten.
  template <typename F>
  void acknowledge(SeqNum una, F&& arrived);
  /// All that is outstanding, when that is one segment, sent once and on its way; null else.
  [[nodiscard]] const Segment* only() const {
    if (count_ != 1 || in_flight_ == 0 || sent_again_ != 0) return nullptr;
    return head();
  }
  /// Precondition: only(). It has arrived.
  void forget_only();
  /// The peer has [left, right), within what is outstanding; calls as acknowledge(). What counts are segments
  /// that lie wholly within (RFC 2018 §5), so that no peer can have more to keep here than was sent.
  template <typename F>
  void sack(SeqNum left, SeqNum right, F&& arrived);

  void mark_lost(Segment& segment);
  /// All that is in flight.
  void mark_all_lost();
  /// What was marked lost and not sent again is in flight after all.
  void unmark_lost();
  /// The peer has thrown away what it had reported (RFC 2018 §8): all of it is lost.
  void renege();
  /// Cuts a segment in two so that it is `length` long; false without memory, or when there are too many
  /// pieces: a peer could report every second byte.
  [[nodiscard]] bool split(Segment& segment, std::uint32_t length);
  /// Joins to a lost segment those after it that are lost too, as far as they make at most `most` together.
  void join_lost(Segment& segment, std::uint32_t most);
  /// Sent again: the whole segment, which was lost or in flight.
  void on_retransmitted(Segment& segment, std::uint32_t mss, Instant now);

  [[nodiscard]] Segment* first_lost() { return lost_.empty() ? nullptr : &*lost_.begin(); }
  [[nodiscard]] Segment* head() { return all_.empty() ? nullptr : &*all_.begin(); }
  [[nodiscard]] const Segment* head() const { return all_.empty() ? nullptr : &*all_.begin(); }
  [[nodiscard]] Segment* last() { return all_.empty() ? nullptr : &*all_.rbegin(); }
  /// The segment that has this byte; null when none has.
  [[nodiscard]] Segment* find(SeqNum seq);
  /// The one in flight that was (re)transmitted longest ago.
  [[nodiscard]] Segment* oldest() { return by_time_.empty() ? nullptr : &by_time_.front(); }
  [[nodiscard]] Segment* next_sent(Segment& segment);
  /// Where, from the end, more than `bytes` are reported; snd_una when no more are.
  [[nodiscard]] SeqNum below_sacked(std::uint32_t bytes) const;

  [[nodiscard]] bool empty() const { return all_.empty(); }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::uint32_t in_flight() const { return in_flight_; }
  [[nodiscard]] std::uint32_t sacked() const { return sacked_; }
  /// Lost and not sent again yet.
  [[nodiscard]] std::uint32_t lost() const { return lost_bytes_; }
  /// Sent again and in flight.
  [[nodiscard]] std::uint32_t sent_again() const { return sent_again_; }
  /// End of the highest segment reported; meaningful while sacked() is not 0.
  [[nodiscard]] SeqNum highest_sacked() const { return highest_sacked_; }
  void clear();

 private:
  static constexpr std::size_t kMostPieces = 32768;

  using All = boost::intrusive::set<Segment, boost::intrusive::constant_time_size<false>>;
  using ByTime = boost::intrusive::list<
      Segment,
      boost::intrusive::member_hook<Segment, boost::intrusive::list_member_hook<>, &Segment::by_time>,
      boost::intrusive::constant_time_size<false>>;
  using Lost = boost::intrusive::set<
      Segment,
      boost::intrusive::member_hook<Segment,
                                    boost::intrusive::set_member_hook<boost::intrusive::optimize_size<true>>,
                                    &Segment::by_loss>,
      boost::intrusive::constant_time_size<false>>;

  struct Part {
    std::uint32_t begin = 0, end = 0;  ///< offsets in a segment
  };
  /// The segments of a super-segment that [left, right) holds wholly.
  [[nodiscard]] static Part whole_segments(const Segment& segment, SeqNum left, SeqNum right);
  /// Leaves the list and the sum of its fate.
  void leave(Segment& segment);
  void become_sacked(Segment& segment);
  /// Whether it was sent before the other one.
  [[nodiscard]] static bool sent_before(const Segment& a, const Segment& b) {
    return a.sent_at() < b.sent_at() || (a.sent_at() == b.sent_at() && a.end() < b.end());
  }
  void merge_sacked(Segment& segment);
  void erase(Segment& segment);

  SentSegmentPool& pool_;
  All all_;
  ByTime by_time_;
  Lost lost_;
  std::uint32_t count_ = 0;
  std::uint32_t in_flight_ = 0, sacked_ = 0, lost_bytes_ = 0, sent_again_ = 0;
  SeqNum highest_sacked_;
};

template <typename F>
void Scoreboard::acknowledge(SeqNum una, F&& arrived) {
  while (!all_.empty()) {
    Segment& first = *all_.begin();
    if (first.seq >= una) return;
    const std::uint32_t bytes = std::min(first.length, SeqNum::distance(first.seq, una));
    if (first.fate != Segment::Fate::kSacked) arrived(first, bytes);
    if (bytes == first.length) {
      leave(first);
      erase(first);
      continue;
    }
    // The first stays the first: its key may change in place.
    switch (first.fate) {
      case Segment::Fate::kInFlight:
        in_flight_ -= bytes;
        if (first.retransmitted()) sent_again_ -= bytes;
        break;
      case Segment::Fate::kLost:
        lost_bytes_ -= bytes;
        break;
      case Segment::Fate::kSacked:
        sacked_ -= bytes;
        break;
    }
    first.seq = una;
    first.length -= bytes;
    return;
  }
}

template <typename F>
void Scoreboard::sack(SeqNum left, SeqNum right, F&& arrived) {
  Segment* segment = find(left);
  while (segment != nullptr && segment->seq < right) {
    const Part part =
        segment->fate == Segment::Fate::kSacked ? Part{} : whole_segments(*segment, left, right);
    if (part.begin >= part.end) {
      const auto next = std::next(all_.iterator_to(*segment));
      segment = next == all_.end() ? nullptr : &*next;
      continue;
    }
    if (part.begin != 0) {
      if (!split(*segment, part.begin)) return;
      segment = &*std::next(all_.iterator_to(*segment));
    }
    const std::uint32_t length = part.end - part.begin;
    if (length < segment->length && !split(*segment, length)) return;
    arrived(*segment, segment->length);
    become_sacked(*segment);
    const SeqNum end = segment->end();
    merge_sacked(*segment);
    segment = find(end);
  }
}

}  // namespace millrace::tcp
