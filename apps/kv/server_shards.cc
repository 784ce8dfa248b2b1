#include "clock.h"
#include "server.h"

namespace millrace::kv {

Keyspace& Call::other_keys_of(std::string_view key) const {
  return servers[server.shards().owner(key)]->keys();
}

Message& Server::make_message(const Call& call, const Resolved& command, Arguments& arguments) {
  Message& message = messages_.take();
  message.from = index_;
  message.client = &call.client;
  message.command = command;
  message.protocol = call.reply.protocol();
  message.muted = call.reply.muted();
  message.take(arguments);
  return message;
}

void Server::execute_sharded(Call& call, const Resolved& command, Arguments& arguments) {
  const unsigned owner = shards_.owner(command, arguments, index_);
  if (owner == index_) return run(call, command);
  if (owner == Shards::kAll && !call.client.has_outstanding()) return run_everywhere(call, command);
  Message& message = make_message(call, command, arguments);
  if (owner == Shards::kAll) return call.client.postpone(message);
  call.client.await(message);
  requests_[owner].add(message);
}

void Server::run_everywhere(Call& call, const Resolved& command) {
  stand_still();
  call.servers = shards_.servers();
  run(call, command);
}

void Server::execute_everywhere(Message& message) {
  Client& client = *message.client;
  Reply& reply = client.reply();
  const bool muted = reply.muted();
  reply.mute(message.muted);
  Call call{*this, client, keys_, message.arguments, reply, {&self_, 1}};
  run_everywhere(call, message.command);
  reply.mute(muted);
}

void Server::serve(Message& message) {
  guest_reply_.set_protocol(message.protocol);
  guest_reply_.mute(message.muted);
  // Of the client, its thread's, nothing is touched.
  Call call{*this, *message.client, keys_, message.arguments, guest_reply_, {&self_, 1}};
  run(call, message.command);
  guest_output_.move_to(message.reply);
  message.arguments.clear();
  replies_[message.from].add(message);
}

void Server::take_mail() {
  for (Message* message = shard_.mailbox.take(); message != nullptr;) {
    Message* following = message->next;
    if (message->from == index_) {
      message->client->answered(*message);
    } else {
      serve(*message);
    }
    message = following;
  }
}

void Server::publish(std::vector<Bundle<Message>>& bundles) {
  for (unsigned i = 0; i < bundles.size(); ++i) {
    if (bundles[i].empty()) continue;
    shards_[i].mailbox.put(bundles[i]);
    shards_[i].waker.knock();
  }
}

void Server::stand_still() {
  if (still_) return;
  shards_.standstill().begin(index_);
  still_ = true;
  // Those that sleep have not looked at the clock.
  for (Server* server : shards_.servers()) server->keys_.set_now(now_ms());
}

void Server::go_on() {
  shards_.commit_all();
  for (unsigned i = 0; i < shards_.count(); ++i) {
    if (i != index_ && shards_.servers()[i]->has_news()) shards_[i].waker.ring();
  }
  still_ = false;
  shards_.standstill().end(index_);
}

bool Server::has_news() const {
  return !doomed_.empty() || next_work_ms_ == 0 || (pause_ms_ < 0 && keys_.has_work());
}

}  // namespace millrace::kv
