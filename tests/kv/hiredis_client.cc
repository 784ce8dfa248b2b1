// A client with hiredis: commands, pipelines, a large value and errors. Says what went wrong, and how
// much went right.

#include <hiredis/hiredis.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

namespace {

int checks = 0;

void expect(bool good, const std::string& what) {
  ++checks;
  if (good) return;
  static_cast<void>(std::fprintf(stderr, "%s\n", what.c_str()));
  std::exit(1);
}

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

std::string_view text(const Reply& reply) {
  return {reply->str, reply->len};
}

class Client {
 public:
  Client(const char* host, int port) : context_(redisConnect(host, port)) {
    expect(context_ != nullptr && context_->err == 0, "cannot connect");
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { redisFree(context_); }

  template <typename... Arguments>
  Reply call(const char* format, Arguments... arguments) {
    Reply reply(static_cast<redisReply*>(redisCommand(context_, format, arguments...)));
    expect(reply != nullptr, std::string(format) + ": " + context_->errstr);
    return reply;
  }
  template <typename... Arguments>
  void add(const char* format, Arguments... arguments) {
    expect(redisAppendCommand(context_, format, arguments...) == REDIS_OK, format);
  }
  Reply next() {
    void* reply = nullptr;
    expect(redisGetReply(context_, &reply) == REDIS_OK, context_->errstr);
    return Reply(static_cast<redisReply*>(reply));
  }

 private:
  redisContext* context_;
};

void talk(Client& client) {
  Reply reply = client.call("SET key %b", "a\0\r\nb", std::size_t{5});
  expect(reply->type == REDIS_REPLY_STATUS && text(reply) == "OK", "SET");
  reply = client.call("GET key");
  expect(reply->type == REDIS_REPLY_STRING && text(reply) == std::string_view("a\0\r\nb", 5), "GET");
  expect(client.call("GET nobody")->type == REDIS_REPLY_NIL, "GET nobody");
  reply = client.call("INCRBY counter %d", 41);
  expect(reply->type == REDIS_REPLY_INTEGER && reply->integer == 41, "INCRBY");
  reply = client.call("MGET key nobody counter");
  expect(reply->type == REDIS_REPLY_ARRAY && reply->elements == 3, "MGET");
  expect(reply->element[1]->type == REDIS_REPLY_NIL, "MGET nobody");
  expect(client.call("INCR key")->type == REDIS_REPLY_ERROR, "INCR of a text");
}

void pipeline(Client& client) {
  constexpr int kCommands = 10'000;
  for (int i = 0; i < kCommands; ++i) client.add("SET key:%d value:%d", i, i);
  for (int i = 0; i < kCommands; ++i) expect(text(client.next()) == "OK", "SET in a pipeline");
  for (int i = 0; i < kCommands; ++i) client.add("GET key:%d", i);
  for (int i = 0; i < kCommands; ++i) {
    expect(text(client.next()) == "value:" + std::to_string(i), "GET in a pipeline");
  }
}

void large(Client& client) {
  std::string value(20'000'000, ' ');
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<char>(i * 7919 >> 3);
  expect(text(client.call("SET large %b", value.data(), value.size())) == "OK", "SET large");
  expect(text(client.call("GET large")) == value, "GET large");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  Client client(argv[1], std::atoi(argv[2]));
  talk(client);
  pipeline(client);
  large(client);
  std::printf("%d checks\n", checks);
}
