#include "client.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/socket_api.h"
#include "server.h"

namespace millrace::kv {

namespace {

constexpr std::size_t kMostWaiting = std::size_t{256} << 10;  // then its commands wait, too
constexpr std::size_t kBodyAtOnce = std::size_t{256} << 10;
constexpr std::size_t kKeptPending = 256;
constexpr std::size_t kMostOutstanding = 64;  // commands

std::string text_of(int (*name_of)(int, sockaddr*, socklen_t*), int fd) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  if (name_of(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "?:0";
  return apps::to_text(address);
}

}  // namespace

Client::Client(Server& server, int fd, std::uint64_t id)
    : created_ms(server.now_ms()),
      last_used_ms(server.now_ms()),
      server_(server),
      fd_(fd),
      id_(id),
      interest_(EPOLLIN),
      output_(server.buffers()),
      reply_(output_),
      awaited_(server.messages()) {
  server_.loop().add(fd_, *this, interest_);
}

Client::~Client() {
  server_.loop().api().close(fd_);
  if (postponed_ != nullptr) server_.messages().give_back(*postponed_);
}

std::string Client::address() const {
  return text_of(server_.loop().api().getpeername, fd_);
}

std::string Client::local_address() const {
  return text_of(server_.loop().api().getsockname, fd_);
}

std::size_t Client::footprint() const {
  return sizeof *this + pending_.capacity() + parser_.held() + output_.footprint() + awaited_.waiting();
}

void Client::on_event(std::uint32_t events) {
  if (doomed_) return;
  if ((events & EPOLLOUT) != 0) {
    flush();
    if (paused_ && !doomed_ && output_.pending() < kMostWaiting) {
      paused_ = false;
      execute(pending_);
    }
  }
  if (!doomed_ && !paused_ && !waiting_ && !closing_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    if (parser_.body_missing() > 0) {
      receive_body();
    } else {
      receive();
    }
  } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    doom();
  }
  if (!doomed_) update_interest();
}

bool Client::received(ssize_t got) {
  if (got > 0) {
    last_used_ms = server_.now_ms();
    server_.counters().bytes_in += static_cast<std::uint64_t>(got);
    return true;
  }
  if (got == 0 && has_outstanding()) {
    close_after_replies();
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    doom();
  }
  return false;
}

void Client::receive() {
  auto& scratch = server_.scratch();
  const ssize_t got = server_.loop().api().recv(fd_, scratch.data(), scratch.size(), MSG_DONTWAIT);
  if (!received(got)) return;
  const std::string_view bytes(scratch.data(), static_cast<std::size_t>(got));
  if (pending_.empty()) return execute(bytes);
  pending_.append(bytes);
  execute(pending_);
}

void Client::receive_body() {
  const std::size_t most = std::min(parser_.body_missing(), kBodyAtOnce);
  const ssize_t got = server_.loop().api().recv(fd_, parser_.body(), most, MSG_DONTWAIT);
  if (!received(got)) return;
  parser_.body_received(static_cast<std::size_t>(got));
}

void Client::execute(std::string_view bytes) {
  std::size_t looked_at = 1;  // commands; one that comes alone gains nothing by it
  while (!bytes.empty() && !closing_ && !doomed_ && !must_wait()) {
    if (output_.pending() >= kMostWaiting) {
      paused_ = true;
      break;
    }
    if (looked_at == 0) looked_at = server_.look_ahead(bytes);
    --looked_at;
    const RespParser::Outcome outcome =
        parser_.parse(bytes, {.bulk = server_.limits().bulk, .authenticated = authenticated});
    if (outcome == RespParser::Outcome::kError) {
      reply_.error(parser_.error());
      close_after_replies();
      break;
    }
    if (outcome != RespParser::Outcome::kCommand) break;
    if (!parser_.arguments().empty()) server_.execute(*this, parser_.arguments());
    parser_.forget();
    bytes.remove_prefix(parser_.consumed());
  }
  server_.keys().expect_nothing();
  waiting_ = must_wait();
  keep(closing_ || doomed_ ? std::string_view() : bytes);
  if (output_.pending() > 0) server_.has_output(*this);
}

void Client::keep(std::string_view rest) {
  if (rest.empty()) {
    if (pending_.capacity() > kKeptPending) {
      std::string().swap(pending_);
    } else {
      pending_.clear();
    }
  } else if (rest.data() >= pending_.data() && rest.data() < pending_.data() + pending_.size()) {
    pending_.erase(0, static_cast<std::size_t>(rest.data() - pending_.data()));
  } else {
    pending_.assign(rest);
  }
  if (pending_query() > server_.limits().query_buffer) doom();
}

void Client::flush() {
  if (doomed_) return;
  const std::size_t before = output_.pending();
  const Output::Progress progress = output_.flush(server_.loop().api(), fd_);
  server_.counters().bytes_out += before - output_.pending();
  blocked_ = progress == Output::Progress::kBlocked;
  const std::uint64_t limit = server_.limits().output_buffer;
  if (progress == Output::Progress::kBroken || (closing_ && !blocked_ && !has_outstanding())) {
    doom();
  } else if (limit != 0 && output_.pending() > limit) {
    ++server_.counters().slow_clients_closed;
    doom();
  } else {
    update_interest();
  }
}

void Client::update_interest() {
  std::uint32_t interest = paused_ || waiting_ || closing_ ? 0U : std::uint32_t{EPOLLIN};
  if (blocked_ || paused_) interest |= EPOLLOUT;
  if (interest == interest_) return;
  interest_ = interest;
  server_.loop().modify(fd_, *this, interest);
}

bool Client::must_wait() const {
  if (!has_outstanding()) return false;
  return postponed_ != nullptr || awaited_.size() >= kMostOutstanding || awaited_.waiting() >= kMostWaiting;
}

void Client::await(Message& message) {
  awaited_.add(message);
  reply_.redirect(message.after);
}

void Client::answered(Message& message) {
  message.answered = true;
  awaited_.collect(output_);
  reply_.redirect(awaited_.tail(output_));
  if (doomed_) return;
  if (waiting_ && !has_outstanding()) go_on();
  if (output_.pending() > 0 || closing_) server_.has_output(*this);
  if (!doomed_) update_interest();
}

void Client::go_on() {
  if (postponed_ != nullptr) {
    server_.execute_everywhere(*postponed_);
    server_.messages().give_back(*std::exchange(postponed_, nullptr));
  }
  waiting_ = false;
  if (!paused_) execute(pending_);
}

void Client::close_after_replies() {
  closing_ = true;
  server_.has_output(*this);
}

void Client::doom() {
  if (doomed_) return;
  doomed_ = true;
  server_.bury(*this);
}

}  // namespace millrace::kv
