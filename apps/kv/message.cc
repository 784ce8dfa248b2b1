#include "message.h"

namespace millrace::kv {

namespace {

constexpr std::size_t kKeptMessages = 1024;
constexpr std::size_t kKeptBytes = 1024;  // of a string

void empty(std::string& text) {
  if (text.capacity() > kKeptBytes) {
    std::string().swap(text);
  } else {
    text.clear();
  }
}

}  // namespace

void Message::take(Arguments& words) {
  std::size_t size = 0;
  for (const Argument& argument : words) size += argument.value ? 0 : argument.text.size();
  bytes_.reserve(size);
  for (Argument& argument : words) {
    if (argument.value) {
      arguments.push_back(std::move(argument));
    } else {
      const std::size_t at = bytes_.size();
      bytes_.append(argument.text);
      arguments.push_back({std::string_view(bytes_).substr(at), nullptr});
    }
  }
}

void Message::clear() {
  arguments.clear();
  empty(bytes_);
  empty(reply);
  client = nullptr;
  answered = false;
}

MessagePool::~MessagePool() {
  for (Message* message : free_) delete message;
}

Message& MessagePool::take() {
  if (free_.empty()) return *new Message(buffers_);
  Message& message = *free_.back();
  free_.pop_back();
  return message;
}

void MessagePool::give_back(Message& message) {
  if (free_.size() == kKeptMessages) {
    delete &message;
    return;
  }
  message.clear();
  free_.push_back(&message);
}

}  // namespace millrace::kv
