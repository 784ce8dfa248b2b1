#include "capture/pcapng_writer.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "capture/output_file.h"
#include "complain.h"

namespace millrace::drivers {
namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr std::uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint16_t kLinkTypeEthernet = 1;

// Options: of any block, the section, the interface, a packet.
constexpr std::uint16_t kEndOfOptions = 0;
constexpr std::uint16_t kComment = 1;
constexpr std::uint16_t kSectionApplication = 4;
constexpr std::uint16_t kInterfaceName = 2;
constexpr std::uint16_t kInterfaceTimeResolution = 9;
constexpr std::uint16_t kInterfaceFilter = 11;
constexpr std::uint16_t kPacketFlags = 2;
constexpr std::uint16_t kPacketDropCount = 4;

constexpr std::uint8_t kNanoseconds = 9;   // 10^-9 s
constexpr std::uint8_t kFilterIsText = 0;  // an expression of libpcap

/// The largest comment that an option can hold is 65535 bytes; nobody reads such.
constexpr std::size_t kLongestText = 1024;

template <typename T>
std::span<const std::uint8_t> bytes_of(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

/// Beyond it the kernel would end the program with a signal.
std::uint64_t file_size_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::numeric_limits<std::uint64_t>::max();
  return limit.rlim_cur;
}

}  // namespace

std::string PcapngWriter::open(const Options& options) {
  path_ = options.path;
  limit_ = std::min(options.limit, file_size_limit());
  if (options.file < 0) {
    std::string error;
    own_ = make_output_file(path_, error);
    if (!error.empty()) return error;
  } else {
    own_ = UniqueFd{::fcntl(options.file, F_DUPFD_CLOEXEC, options.file)};  // high up, if that one is
    if (!own_) return "cannot write " + path_ + ": " + std::strerror(errno);
  }
  fd_ = own_.get();
  struct stat status {};
  if (::fstat(fd_, &status) == 0) size_ = static_cast<std::uint64_t>(status.st_size);
  put_section(options);
  told_ = at_limit_;
  if (at_limit_) return path_ + " has no room under its limit of " + std::to_string(limit_) + " bytes";
  return write_out() ? std::string() : "cannot write " + path_ + ": " + std::strerror(errno);
}

void PcapngWriter::put_section(const Options& options) {
  begin_block(kSectionHeader);
  put32(kByteOrderMagic);
  put16(1);  // version 1.0
  put16(0);
  put32(~0u);  // the section's length is not known
  put32(~0u);
  put_option(kSectionApplication, "Millrace");
  put_option(kEndOfOptions, "");
  end_block();

  begin_block(kInterfaceDescription);
  put16(kLinkTypeEthernet);
  put16(0);
  put32(options.snap_length);
  put_option(kInterfaceName, options.interface);
  put_option(kInterfaceTimeResolution, bytes_of(kNanoseconds));
  if (!options.filter.empty())
    put_option(kInterfaceFilter, std::string(1, static_cast<char>(kFilterIsText)) + options.filter);
  put_option(kEndOfOptions, "");
  end_block();
}

void PcapngWriter::add(const Frame& frame) {
  begin_block(kEnhancedPacket);
  put32(0);  // the interface
  put32(static_cast<std::uint32_t>(frame.time >> 32));
  put32(static_cast<std::uint32_t>(frame.time));
  put32(static_cast<std::uint32_t>(frame.bytes.size()));
  put32(frame.length);
  put_padded(frame.bytes);
  put_option(kPacketFlags, bytes_of(frame.direction));
  if (frame.lost_before != 0) put_option(kPacketDropCount, bytes_of(frame.lost_before));
  if (!frame.comment.empty()) put_option(kComment, frame.comment);
  put_option(kEndOfOptions, "");
  end_block();
  ++(at_limit_ ? frames_lost_ : added_);
}

void PcapngWriter::flush() {
  if (!buffer_.empty()) {
    if (write_out()) {
      frames_ += added_;
    } else {
      ++errors_;
      frames_lost_ += added_;
      tell(std::strerror(errno));
    }
    added_ = 0;
  }
  if (at_limit_) tell("the limit of its size is reached");
}

void PcapngWriter::tell(std::string_view problem) {
  if (std::exchange(told_, true)) return;
  complain("capture: " + path_ + ": " + std::string(problem) + "; frames are not recorded");
}

std::vector<std::pair<std::string, std::uint64_t>> PcapngWriter::stats() const {
  return {{"CaptureFrames", frames_}, {"CaptureFramesLost", frames_lost_}, {"CaptureWriteErrors", errors_}};
}

bool PcapngWriter::write_out() {
  std::size_t done = 0;
  int error = 0;
  while (done < buffer_.size() && error == 0) {
    const ssize_t n = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (n == 0 || errno != EINTR) {
      error = n == 0 ? EIO : errno;
    }
  }
  // Not size_ + done: a process that inherited the file may have written, too.
  if (const off_t end = ::lseek(fd_, 0, SEEK_CUR); end >= 0 && done != 0)
    size_ = static_cast<std::uint64_t>(end);
  if (error != 0 && done != 0) {  // not the first half of a block
    size_ -= done;
    (void)!::ftruncate(fd_, static_cast<off_t>(size_));
  }
  buffer_.clear();
  block_at_ = 0;
  errno = error;
  return error == 0;
}

void PcapngWriter::begin_block(std::uint32_t type) {
  block_at_ = buffer_.size();
  put32(type);
  put32(0);  // its length, from end_block()
}

void PcapngWriter::end_block() {
  const auto length = static_cast<std::uint32_t>(buffer_.size() - block_at_ + sizeof(std::uint32_t));
  put32(length);
  std::memcpy(&buffer_[block_at_ + sizeof(std::uint32_t)], &length, sizeof length);
  at_limit_ = at_limit_ || size_ + buffer_.size() > limit_;
  if (at_limit_) buffer_.resize(block_at_);
}

void PcapngWriter::put16(std::uint16_t value) {
  const auto bytes = bytes_of(value);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void PcapngWriter::put32(std::uint32_t value) {
  const auto bytes = bytes_of(value);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void PcapngWriter::put_padded(std::span<const std::uint8_t> bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  buffer_.resize(buffer_.size() + (0 - bytes.size()) % 4);
}

void PcapngWriter::put_option(std::uint16_t code, std::span<const std::uint8_t> value) {
  put16(code);
  put16(static_cast<std::uint16_t>(value.size()));
  put_padded(value);
}

void PcapngWriter::put_option(std::uint16_t code, std::string_view text) {
  const std::string_view some = text.substr(0, kLongestText);
  put_option(code, std::span{reinterpret_cast<const std::uint8_t*>(some.data()), some.size()});
}

}  // namespace millrace::drivers
