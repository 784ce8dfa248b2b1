#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "pcap/libpcap.h"

namespace millrace::drivers {

/// Reads the frames of a pcap or pcapng file, one after the other.
class CaptureFile {
 public:
  struct Frame {
    std::uint64_t time = 0;  ///< nanoseconds since 1970
    std::uint32_t length = 0;
    std::span<const std::uint8_t> bytes;  ///< valid until the next call; fewer than length: cut when recorded
  };
  enum class Result : std::uint8_t {
    kFrame,
    kEnd,
    kBroken,  ///< the file ends in the middle of a frame, or what follows cannot be read
  };

  CaptureFile() = default;
  CaptureFile(const CaptureFile&) = delete;
  CaptureFile& operator=(const CaptureFile&) = delete;
  ~CaptureFile();

  /// Empty, or one line that says what is wrong.
  [[nodiscard]] std::string open(const std::string& path);
  [[nodiscard]] Result next(Frame& frame);
  /// After kBroken: what is wrong.
  [[nodiscard]] std::string damage() const;
  /// Goes back to the first frame; false when the file cannot be read again.
  [[nodiscard]] bool rewind();
  /// Its descriptor, or -1.
  [[nodiscard]] int fd() const { return fd_; }

 private:
  void close();

  const LibPcap* library_ = nullptr;
  pcap_t* handle_ = nullptr;
  int fd_ = -1;
  std::string path_;
};

}  // namespace millrace::drivers
