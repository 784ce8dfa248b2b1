#include "two_stacks.h"

#include <algorithm>
#include <cstdlib>

namespace millrace::bench {

namespace {

const Endpoint kServer{IpAddress::v4(198, 18, 0, 2), 7};
constexpr std::size_t kScratch = 128 * 1024;

Rng::Seed seed(std::uint8_t n) {
  Rng::Seed s{};
  s.fill(n);
  return s;
}

StackConfig config() {
  StackConfig c;
  c.pool.bytes = std::size_t{1} << 30;
  c.tcp.time_wait = 1ms;  // ports come back fast enough for connect_and_close
  return c;
}

drivers::PipeOptions wire(const TwoStacks::Options& options) {
  drivers::PipeOptions p;
  p.mtu = options.mtu;
  p.checksum_offload = options.checksum_offload;
  p.tso = options.super_frames && options.checksum_offload;
  return p;
}

link::InterfaceConfig address(const char* text) {
  link::InterfaceConfig c;
  c.addresses.push_back(*IpPrefix::parse(text));
  return c;
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

TwoStacks::TwoStacks(const Options& options)
    : now_(kEpoch + 1s),
      ends_(drivers::make_pipe(wire(options))),
      client_(config(), seed(1), now_),
      server_(config(), seed(2), now_),
      scratch_(kScratch, 0x5a) {
  client_.add_interface(*ends_.a, address("198.18.0.1/16"), now_);
  server_.add_interface(*ends_.b, address("198.18.0.2/16"), now_);
  listener_ = std::move(*server_.create_socket(SocketType::kStream));
  require(listener_->bind(kServer).ok());
  require(listener_->listen(4096, now_).ok());
}

TwoStacks::~TwoStacks() {
  clients_.clear();
  servers_.clear();
  listener_.reset();
}

void TwoStacks::turn() {
  now_ += 1us;
  client_.poll(now_, 256);
  server_.poll(now_, 256);
}

void TwoStacks::accept_all() {
  for (;;) {
    auto accepted = listener_->accept(now_);
    if (!accepted) return;
    require((*accepted)->set_option(SocketOption::kNoDelay, 1, now_).ok());
    servers_.push_back(std::move(*accepted));
  }
}

void TwoStacks::connect(std::size_t count) {
  const std::size_t before = servers_.size();
  for (std::size_t opened = 0; opened < count;) {
    const std::size_t batch = std::min<std::size_t>(count - opened, 64);
    for (std::size_t i = 0; i < batch; ++i) {
      auto socket = std::move(*client_.create_socket(SocketType::kStream));
      require(socket->set_option(SocketOption::kNoDelay, 1, now_).ok());
      require(socket->connect(kServer, now_).error() == Error::kInProgress);
      clients_.push_back(std::move(socket));
    }
    opened += batch;
    for (int i = 0; i < 10000 && servers_.size() < before + opened; ++i) {
      client_.flush(now_);
      turn();
      accept_all();
    }
    require(servers_.size() == before + opened);
  }
  for (std::size_t i = 0; i < 64; ++i) turn();
  while (client_.ready().pop() != nullptr) {
  }
}

void TwoStacks::serve() {
  while (Socket* socket = server_.ready().pop()) {
    if ((socket->take_events() & kReadable) == 0 || socket == listener_.get()) continue;
    for (;;) {
      const IoSlice in{scratch_.data(), scratch_.size()};
      auto got = socket->receive({&in, 1}, {}, now_);
      if (!got || got->bytes == 0) break;
      dropped_ += got->bytes;
      if (echo_) {
        const ConstIoSlice out{scratch_.data(), got->bytes};
        require(socket->send({&out, 1}, nullptr, {}, now_).ok());
      }
      if (got->bytes < scratch_.size()) break;
    }
  }
  server_.flush(now_);
}

void TwoStacks::request(std::size_t index, std::size_t bytes) {
  Socket& socket = *clients_[index];
  const ConstIoSlice out{scratch_.data(), bytes};
  require(socket.send({&out, 1}, nullptr, {}, now_).ok());
  client_.flush(now_);
  std::size_t answered = 0;
  while (answered < bytes) {
    now_ += 1us;
    server_.poll(now_, 256);
    serve();
    client_.poll(now_, 256);
    while (Socket* ready = client_.ready().pop()) {
      if ((ready->take_events() & kReadable) == 0) continue;
      const IoSlice in{scratch_.data(), scratch_.size()};
      auto got = ready->receive({&in, 1}, {}, now_);
      if (got) answered += got->bytes;
    }
  }
}

void TwoStacks::bulk(std::size_t total) {
  echo_ = false;
  dropped_ = 0;
  std::size_t sent = 0;
  while (dropped_ < total) {
    while (sent < total) {
      const ConstIoSlice out{scratch_.data(), std::min(scratch_.size(), total - sent)};
      auto taken = clients_[0]->send({&out, 1}, nullptr, {}, now_);
      if (!taken) break;
      sent += *taken;
    }
    client_.flush(now_);
    now_ += 1us;
    server_.poll(now_, 256);
    serve();
    client_.poll(now_, 256);
    while (Socket* ready = client_.ready().pop()) static_cast<void>(ready->take_events());
  }
  echo_ = true;
}

void TwoStacks::connect_and_close() {
  const std::size_t servers = servers_.size();
  auto socket = std::move(*client_.create_socket(SocketType::kStream));
  require(socket->connect(kServer, now_).error() == Error::kInProgress);
  while (servers_.size() == servers) {
    client_.flush(now_);
    turn();
    accept_all();
  }
  socket.reset();
  client_.flush(now_);
  turn();
  servers_.pop_back();
  server_.flush(now_);
  turn();
  while (server_.ready().pop() != nullptr) {
  }
  while (client_.ready().pop() != nullptr) {
  }
}

}  // namespace millrace::bench
