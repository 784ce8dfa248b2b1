#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace millrace::drivers {

/// What the tests look at in a pcapng file, block by block: for what libpcap does not tell.
struct PcapngFile {
  struct Frame {
    std::uint64_t time = 0;
    std::uint32_t length = 0;
    std::vector<std::uint8_t> bytes;
    std::uint32_t flags = 0;
    std::string comment;
    std::uint64_t lost_before = 0;
  };
  bool whole = false;  ///< nothing but whole blocks, of kinds that we know
  std::string interface, filter;
  unsigned resolution = 6, link_type = 0;
  std::uint32_t snap_length = 0;
  unsigned sections = 0;
  std::vector<Frame> frames;

  explicit PcapngFile(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    data_.assign(std::istreambuf_iterator<char>(file), {});
    std::size_t at = 0;
    while (at + 12 <= data_.size()) {
      const std::uint32_t length = u32(at + 4);
      if (length < 12 || length % 4 != 0 || length > data_.size() - at || u32(at + length - 4) != length)
        return;
      if (!read_block(u32(at), at + 8, at + length - 4)) return;
      at += length;
    }
    whole = at == data_.size() && link_type != 0;
  }

 private:
  [[nodiscard]] std::uint32_t u32(std::size_t at) const { return load<std::uint32_t>(at); }
  template <typename T>
  [[nodiscard]] T load(std::size_t at) const {
    T value;
    std::memcpy(&value, data_.data() + at, sizeof value);
    return value;
  }
  [[nodiscard]] std::string text(std::size_t at, std::size_t length) const {
    return {data_.data() + at, length};
  }

  bool read_block(std::uint32_t type, std::size_t at, std::size_t end) {
    if (type == 0x0a0d0d0a) return ++sections != 0 && u32(at) == 0x1a2b3c4d;
    if (type == 1) {
      link_type = load<std::uint16_t>(at);
      snap_length = u32(at + 4);
      return read_options(at + 8, end, [this](unsigned code, std::size_t value, std::size_t length) {
        if (code == 2) interface = text(value, length);
        if (code == 9) resolution = static_cast<unsigned char>(data_[value]);
        if (code == 11) filter = text(value + 1, length - 1);
      });
    }
    if (type != 6 || u32(at) != 0) return false;
    Frame frame;
    frame.time = std::uint64_t{u32(at + 4)} << 32 | u32(at + 8);
    frame.length = u32(at + 16);
    const std::uint32_t captured = u32(at + 12);
    frame.bytes.assign(data_.data() + at + 20, data_.data() + at + 20 + captured);
    const bool fine = read_options(at + 20 + (captured + 3) / 4 * 4, end,
                                   [&](unsigned code, std::size_t value, std::size_t length) {
                                     if (code == 1) frame.comment = text(value, length);
                                     if (code == 2) frame.flags = u32(value);
                                     if (code == 4) frame.lost_before = load<std::uint64_t>(value);
                                   });
    frames.push_back(std::move(frame));
    return fine;
  }
  template <typename Visitor>
  bool read_options(std::size_t at, std::size_t end, Visitor&& visit) const {
    while (at + 4 <= end) {
      const auto code = load<std::uint16_t>(at);
      const auto length = load<std::uint16_t>(at + 2);
      if (code == 0) return at + 4 == end;
      visit(code, at + 4, length);
      at += 4 + (length + 3u) / 4 * 4;
    }
    return false;
  }

  std::vector<char> data_;
};

}  // namespace millrace::drivers
