#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace millrace::load {

/// Counts of durations in nanoseconds, in buckets less than 1 % wide: constant memory, whatever the number of
/// samples.
class Histogram {
 public:
  void add(std::uint64_t nanoseconds, std::uint64_t times = 1) {
    buckets_[bucket_of(nanoseconds)] += times;
    count_ += times;
  }
  void add(const Histogram& other) {
    for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }

  /// The smallest recorded value that at least this fraction of the samples does not exceed, as its bucket's
  /// middle.
  [[nodiscard]] double quantile(double fraction) const {
    if (count_ == 0) return 0;
    const double wanted = fraction * static_cast<double>(count_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (buckets_[i] != 0 && static_cast<double>(seen) >= wanted) return middle_of(i);
    }
    return middle_of(buckets_.size() - 1);
  }

 private:
  // Below 2^kBits each value has its own bucket; above, each power of two is split into 2^kBits.
  static constexpr unsigned kBits = 7;
  static constexpr std::size_t kSplit = std::size_t{1} << kBits;
  static constexpr unsigned kOctaves = 36;

  static std::size_t bucket_of(std::uint64_t value) {
    if (value < kSplit) return static_cast<std::size_t>(value);
    const auto octave = static_cast<unsigned>(std::bit_width(value)) - 1 - kBits;
    if (octave >= kOctaves) return kSplit * (kOctaves + 1) - 1;
    return kSplit * (octave + 1) + static_cast<std::size_t>(value >> octave) - kSplit;
  }
  static double middle_of(std::size_t bucket) {
    if (bucket < kSplit) return static_cast<double>(bucket);
    const std::size_t octave = bucket / kSplit - 1;
    const auto width = static_cast<double>(std::uint64_t{1} << octave);
    return (static_cast<double>(bucket % kSplit + kSplit) + 0.5) * width;
  }

  std::array<std::uint64_t, kSplit*(kOctaves + 1)> buckets_{};
  std::uint64_t count_ = 0;
};

}  // namespace millrace::load
