#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unique_fd.h"

namespace millrace::drivers {

/// Writes a section of a pcapng file (draft-ietf-opsawg-pcapng): one Ethernet interface, a block a frame.
///
///     | section header | interface description | enhanced packet | enhanced packet | ...
///
/// The file ends with a whole block: what a full disk cut off is cut off as a whole, and its frames are
/// counted as lost. Later ones are written again as soon as that works.
class PcapngWriter {
 public:
  struct Options {
    std::string path = {};
    int file = -1;  ///< of make_output_file(), for a further section, of which a copy is kept; -1: makes it
                    ///< from path
    std::string interface = {};     ///< its name, for readers
    std::string filter = {};        ///< what was filtered by, for readers; may be empty
    std::uint32_t snap_length = 0;  ///< of the frames that will be added, at most; 0: whole frames
    std::uint64_t limit = ~0ull;    ///< bytes of the file, at most
  };
  enum class Direction : std::uint32_t { kInbound = 1, kOutbound = 2 };
  struct Frame {
    Direction direction = Direction::kInbound;
    std::uint64_t time = 0;  ///< nanoseconds since 1970
    std::span<const std::uint8_t> bytes = {};
    std::uint32_t length = 0;       ///< of the whole frame
    std::string_view comment = {};  ///< may be empty
    std::uint64_t lost_before = 0;  ///< frames that the interface lost since the one before
  };

  /// Empty, or one line that says what failed.
  [[nodiscard]] std::string open(const Options& options);
  /// Appends to what the next flush() writes.
  void add(const Frame& frame);
  void flush();
  /// Once it is true, the file has reached its limit, and nothing more is written.
  [[nodiscard]] bool at_limit() const { return at_limit_; }
  [[nodiscard]] int fd() const { return fd_; }
  /// What became of the frames added, by the names that `millrace stats` shows.
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> stats() const;

 private:
  void put_section(const Options& options);
  [[nodiscard]] bool write_out();
  /// On standard error, once.
  void tell(std::string_view problem);
  void begin_block(std::uint32_t type);
  void end_block();
  void put16(std::uint16_t value);
  void put32(std::uint32_t value);
  /// Bytes, and zeros up to a multiple of four.
  void put_padded(std::span<const std::uint8_t> bytes);
  void put_option(std::uint16_t code, std::span<const std::uint8_t> value);
  void put_option(std::uint16_t code, std::string_view text);

  UniqueFd own_;
  int fd_ = -1;
  std::string path_;
  std::uint64_t limit_ = 0;
  std::uint64_t size_ = 0;            ///< of the file
  std::vector<std::uint8_t> buffer_;  ///< whole blocks, and the one that is being made
  std::size_t block_at_ = 0;          ///< where that one begins
  std::uint64_t added_ = 0;           ///< frames in buffer_
  std::uint64_t frames_ = 0, frames_lost_ = 0, errors_ = 0;
  bool at_limit_ = false;
  bool told_ = false;
};

}  // namespace millrace::drivers
