#include "pcap/capture_file.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace millrace::drivers {

CaptureFile::~CaptureFile() {
  close();
}

void CaptureFile::close() {
  if (handle_ != nullptr) library_->close(handle_);
  handle_ = nullptr;
  fd_ = -1;
}

std::string CaptureFile::open(const std::string& path) {
  std::string error;
  library_ = LibPcap::load(error);
  if (library_ == nullptr) return error;
  path_ = path;
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return "cannot read " + path + ": " + std::strerror(errno);
  std::array<char, PCAP_ERRBUF_SIZE> problem{};
  handle_ = library_->fopen_offline(file, PCAP_TSTAMP_PRECISION_NANO, problem.data());
  if (handle_ == nullptr) {
    struct stat status {};
    const bool empty =
        ::fstat(::fileno(file), &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0;
    std::fclose(file);
    return "cannot read " + path + ": " + (empty ? "it is empty" : problem.data());
  }
  fd_ = ::fileno(file);
  if (const int type = library_->datalink(handle_); type != DLT_EN10MB) {
    const char* name = library_->datalink_name(type);
    return path + " has frames of link type " + (name != nullptr ? name : std::to_string(type)) +
           ": only Ethernet's (EN10MB) can be replayed";
  }
  return {};
}

CaptureFile::Result CaptureFile::next(Frame& frame) {
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  const int result = library_->next(handle_, &header, &bytes);
  if (result != 1) return result == PCAP_ERROR_BREAK ? Result::kEnd : Result::kBroken;
  // libpcap keeps nanoseconds in the field for microseconds, as it was asked to.
  frame.time = static_cast<std::uint64_t>(header->ts.tv_sec) * 1'000'000'000 +
               static_cast<std::uint64_t>(header->ts.tv_usec);
  frame.length = header->len;
  frame.bytes = {bytes, header->caplen};
  return Result::kFrame;
}

std::string CaptureFile::damage() const {
  return handle_ != nullptr ? library_->error_of(handle_) : "";
}

bool CaptureFile::rewind() {
  close();
  return open(path_).empty();
}

}  // namespace millrace::drivers
