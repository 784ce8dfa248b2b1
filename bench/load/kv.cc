#include <array>
#include <cstdio>
#include <random>
#include <utility>

#include "exchange_all.h"
#include "load.h"
#include "window.h"

namespace millrace::load {

namespace {

constexpr std::size_t kBatches = 1024;  // made before; each connection begins at another one
constexpr std::size_t kKeysAtOnce = 256;

/// Requests of RESP2 that are sent together, and the answers they must get.
struct Batch {
  std::string request, answer;
  std::uint64_t requests = 0;

  void add_get(std::size_t key, std::size_t size) {
    add("*2\r\n$3\r\nGET\r\n" + bulk(name_of(key)), bulk(value_of(key, size)));
  }
  void add_set(std::size_t key, std::size_t size) {
    add("*3\r\n$3\r\nSET\r\n" + bulk(name_of(key)) + bulk(value_of(key, size)), "+OK\r\n");
  }

 private:
  void add(const std::string& one, const std::string& its_answer) {
    request += one;
    answer += its_answer;
    ++requests;
  }
  static std::string bulk(const std::string& text) {
    return '$' + std::to_string(text.size()) + "\r\n" + text + "\r\n";
  }
  static std::string name_of(std::size_t key) {
    char text[32];
    std::snprintf(text, sizeof text, "key:%012zu", key);
    return text;
  }
  /// Another one for each key, so that the answer to another request is not taken for it.
  static std::string value_of(std::size_t key, std::size_t size) {
    const std::string name = name_of(key);
    std::string value;
    while (value.size() < size) value += name;
    value.resize(size);
    return value;
  }
};

/// A connection with one batch out at a time.
class BatchExchange {
 public:
  /// The batches outlive it; it takes them in turn, from that one on.
  BatchExchange(const std::vector<Batch>& batches, std::size_t first) : batches_(&batches), next_(first) {}

  [[nodiscard]] int fd() const { return fd_.get(); }
  void connect(Descriptor fd) { fd_ = std::move(fd); }

  void ask(const Options& options, int flags, Clock::time_point now = Clock::now()) {
    batch_ = &(*batches_)[next_++ % batches_->size()];
    have_ = 0;
    sent_at = now;
    send_all(options, fd_.get(), batch_->request.data(), batch_->request.size(), flags);
  }
  enum class Read : std::uint8_t { kNothing, kPart, kAll };
  Read read(const Options& options, int flags) {
    std::array<char, 16384> got{};
    const ssize_t length = options.api->recv(fd_.get(), got.data(), got.size(), flags);
    if (length == 0) throw Failure("the server closed a connection");
    if (length < 0) {
      if (errno != EAGAIN && errno != EINTR) fail_with_errno("recv");
      return Read::kNothing;
    }
    const std::string_view text(got.data(), static_cast<std::size_t>(length));
    if (batch_->answer.compare(have_, text.size(), text) != 0) {
      intact_ = false;
      return Read::kAll;
    }
    have_ += text.size();
    return have_ < batch_->answer.size() ? Read::kPart : Read::kAll;
  }
  [[nodiscard]] bool intact() const { return intact_; }
  [[nodiscard]] std::uint64_t requests() const { return batch_->requests; }

  Clock::time_point sent_at;

 private:
  const std::vector<Batch>* batches_;
  const Batch* batch_ = nullptr;
  Descriptor fd_;
  std::size_t next_, have_ = 0;
  bool intact_ = true;
};

/// Every key has its value from then on.
void set_all_keys(const Options& options) {
  std::vector<Batch> batches;
  for (std::size_t key = 0; key < options.keys;) {
    Batch& batch = batches.emplace_back();
    for (std::size_t i = 0; i < kKeysAtOnce && key < options.keys; ++i) batch.add_set(key++, options.size);
  }
  BatchExchange exchange(batches, 0);
  exchange.connect(connect_tcp(options));
  for (std::size_t i = 0; i < batches.size(); ++i) {
    exchange.ask(options, 0);
    while (exchange.read(options, 0) != BatchExchange::Read::kAll) {
    }
    if (!exchange.intact()) throw Failure("a key could not be set");
  }
}

std::vector<Batch> random_batches(const Options& options) {
  std::mt19937_64 random(options.seed);
  std::uniform_int_distribution<std::size_t> any_key(0, options.keys - 1);
  std::vector<Batch> batches(kBatches);
  for (Batch& batch : batches) {
    for (std::size_t i = 0; i < options.pipeline; ++i) {
      if (options.command == "set") {
        batch.add_set(any_key(random), options.size);
      } else {
        batch.add_get(any_key(random), options.size);
      }
    }
  }
  return batches;
}

}  // namespace

bool run_key_values(const Options& options, Report& report) {
  set_all_keys(options);
  const std::vector<Batch> batches = random_batches(options);
  std::vector<BatchExchange> exchanges;
  for (std::size_t i = 0; i < options.connections; ++i)
    exchanges.emplace_back(batches, i * kBatches / options.connections);
  Window window(options);
  const bool intact = exchange_all(options, window, exchanges);
  window.fill(report);
  return intact;
}

}  // namespace millrace::load
