#include "wire/tcp_options.h"

#include <algorithm>
#include <cassert>

namespace millrace::wire {
namespace {

// IANA's TCP option kinds, and the lengths of those that have one.
constexpr std::uint8_t kEnd = 0;
constexpr std::uint8_t kNop = 1;
constexpr std::uint8_t kMss = 2;
constexpr std::uint8_t kWindowScale = 3;
constexpr std::uint8_t kSackPermitted = 4;
constexpr std::uint8_t kSack = 5;
constexpr std::uint8_t kTimestamps = 8;
constexpr std::uint8_t kUserTimeout = 28;
constexpr std::uint8_t kFastOpen = 34;

constexpr std::size_t kMssLength = 4;
constexpr std::size_t kWindowScaleLength = 3;
constexpr std::size_t kSackPermittedLength = 2;
constexpr std::size_t kTimestampsLength = 10;
constexpr std::size_t kUserTimeoutLength = 4;
constexpr std::size_t kSackBlockLength = 8;

constexpr std::size_t padded(std::size_t n) {
  return (n + 3) / 4 * 4;
}

void parse_sack(std::span<const std::uint8_t> data, TcpOptions& options) {
  if (data.empty() || data.size() % kSackBlockLength != 0) return;
  options.sack_count = 0;
  for (; !data.empty() && options.sack_count < TcpOptions::kMaxSackBlocks;
       data = data.subspan(kSackBlockLength)) {
    options.sack[options.sack_count++] = {SeqNum{load_be32(&data[0])}, SeqNum{load_be32(&data[4])}};
  }
}

void parse_fast_open(std::span<const std::uint8_t> data, TcpOptions& options) {
  TcpOptions::FastOpenCookie cookie;
  // RFC 7413 §4.1.1: the cookie's length is even, 4 to 16 bytes; others are ignored.
  if (!data.empty() && (data.size() < 4 || data.size() > cookie.storage.size() || data.size() % 2 != 0))
    return;
  std::copy(data.begin(), data.end(), cookie.storage.begin());
  cookie.length = static_cast<std::uint8_t>(data.size());
  options.fast_open = cookie;
}

/// `data` is what follows kind and length.
void parse_option(std::uint8_t kind, std::span<const std::uint8_t> data, TcpOptions& options) {
  const std::size_t length = data.size() + 2;
  switch (kind) {
    case kMss:
      if (length == kMssLength) options.mss = load_be16(&data[0]);
      break;
    case kWindowScale:
      if (length == kWindowScaleLength) options.window_scale = data[0];
      break;
    case kSackPermitted:
      if (length == kSackPermittedLength) options.sack_permitted = true;
      break;
    case kSack:
      parse_sack(data, options);
      break;
    case kTimestamps:
      if (length == kTimestampsLength) {
        options.timestamps = TcpOptions::Timestamps{load_be32(&data[0]), load_be32(&data[4])};
      }
      break;
    case kUserTimeout:
      if (length == kUserTimeoutLength) options.user_timeout = load_be16(&data[0]);
      break;
    case kFastOpen:
      parse_fast_open(data, options);
      break;
    default:
      break;
  }
}

/// Appends to the options of a header that is being written.
class Writer {
 public:
  explicit Writer(std::uint8_t* out) : begin_(out), p_(out) {}

  Writer& byte(std::uint8_t v) {
    *p_++ = v;
    return *this;
  }
  Writer& option(std::uint8_t kind, std::size_t length) {
    return byte(kind).byte(static_cast<std::uint8_t>(length));
  }
  Writer& u16(std::uint16_t v) {
    store_be16(p_, v);
    p_ += 2;
    return *this;
  }
  Writer& u32(std::uint32_t v) {
    store_be32(p_, v);
    p_ += 4;
    return *this;
  }
  Writer& bytes(std::span<const std::uint8_t> v) {
    p_ = std::copy(v.begin(), v.end(), p_);
    return *this;
  }
  Writer& pad() {
    while (size() % 4 != 0) byte(kNop);
    return *this;
  }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(p_ - begin_); }

 private:
  std::uint8_t* begin_;
  std::uint8_t* p_;
};

}  // namespace

void TcpOptions::read_each(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty() && bytes[0] != kEnd) {
    if (bytes[0] == kNop) {
      bytes = bytes.subspan(1);
      continue;
    }
    if (bytes.size() < 2 || bytes[1] < 2 || bytes[1] > bytes.size()) {
      malformed = true;
      break;
    }
    const std::size_t length = bytes[1];
    parse_option(bytes[0], bytes.subspan(2, length - 2), *this);
    bytes = bytes.subspan(length);
  }
}

std::size_t TcpOptions::size_without_sack() const {
  std::size_t n = 0;
  if (mss) n += kMssLength;
  // SACK-permitted takes the place of the two NOPs before the timestamps.
  if (timestamps) {
    n += kTimestampsOnlySize;
  } else if (sack_permitted) {
    n += padded(kSackPermittedLength);
  }
  if (window_scale) n += padded(kWindowScaleLength);
  if (user_timeout) n += kUserTimeoutLength;
  if (fast_open) n += padded(2u + fast_open->length);
  return n;
}

std::size_t TcpOptions::sack_blocks_that_fit(std::size_t used) const {
  const std::size_t room = kMaxSize - std::min(kMaxSize, used);
  if (room < 4 + kSackBlockLength) return 0;
  return std::min<std::size_t>(sack_count, (room - 4) / kSackBlockLength);
}

std::size_t TcpOptions::size() const {
  const std::size_t used = size_without_sack();
  const std::size_t blocks = sack_blocks_that_fit(used);
  return used + (blocks == 0 ? 0 : 4 + blocks * kSackBlockLength);
}

std::size_t TcpOptions::emit(std::span<std::uint8_t> out, Order order) const {
  const std::size_t used = size_without_sack();
  assert(used <= kMaxSize && size() <= out.size() && sack_count <= kMaxSackBlocks);
  Writer writer{out.data()};
  const auto emit_window_scale = [&] {
    if (window_scale) writer.byte(kNop).option(kWindowScale, kWindowScaleLength).byte(*window_scale);
  };
  if (mss) writer.option(kMss, kMssLength).u16(*mss);
  if (order == Order::kBsd) emit_window_scale();
  if (timestamps) {
    if (sack_permitted) {
      writer.option(kSackPermitted, kSackPermittedLength);
    } else {
      writer.byte(kNop).byte(kNop);
    }
    writer.option(kTimestamps, kTimestampsLength).u32(timestamps->value).u32(timestamps->echo);
  } else if (sack_permitted && order == Order::kLinux) {
    writer.byte(kNop).byte(kNop).option(kSackPermitted, kSackPermittedLength);
  } else if (sack_permitted) {
    writer.option(kSackPermitted, kSackPermittedLength).byte(kEnd).byte(kEnd);
  }
  if (order == Order::kLinux) emit_window_scale();
  if (user_timeout) writer.option(kUserTimeout, kUserTimeoutLength).u16(*user_timeout);
  if (const std::size_t blocks = sack_blocks_that_fit(used); blocks > 0) {
    writer.byte(kNop).byte(kNop).option(kSack, 2 + blocks * kSackBlockLength);
    for (std::size_t i = 0; i < blocks; ++i) writer.u32(sack[i].left.value()).u32(sack[i].right.value());
  }
  if (fast_open) writer.option(kFastOpen, 2u + fast_open->length).bytes(fast_open->bytes()).pad();
  return writer.size();
}

bool operator==(const TcpOptions& a, const TcpOptions& b) {
  return a.mss == b.mss && a.window_scale == b.window_scale && a.sack_permitted == b.sack_permitted &&
         a.timestamps == b.timestamps && a.user_timeout == b.user_timeout && a.fast_open == b.fast_open &&
         a.malformed == b.malformed &&
         std::equal(a.sack.begin(), a.sack.begin() + a.sack_count, b.sack.begin(),
                    b.sack.begin() + b.sack_count);
}

}  // namespace millrace::wire
