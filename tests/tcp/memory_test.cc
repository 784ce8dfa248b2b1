#include <gtest/gtest.h>

#include "support/tcp_script.h"

namespace millrace::test {
namespace {

using tcp::Counter;
using tcp::State;

TcpScript::Options with_pool(std::size_t bytes) {
  TcpScript::Options options;
  options.stack.pool.bytes = bytes;
  options.stack.pool.reserve = 256 * 1024;
  return options;
}

TEST(Memory, SmallSegmentsInOrderHoldLittleMoreStorageThanTheyAre) {
  TcpScript t;
  t.establish();
  for (std::uint32_t i = 0; i < 20'000; ++i) t.inject(data(1 + i, 2 + i));
  t.take_sent();
  t.after(1s);
  t.take_sent();
  EXPECT_LE(t.stack().pool().bytes_in_use(), 100'000u);
  EXPECT_EQ(t.read(), 20'000u);
  EXPECT_EQ(t.stack().pool().bytes_in_use(), 0u);
}

TEST(Memory, WindowsPromisedAreBoundedByTheContext) {
  TcpScript t(with_pool(1 << 20));
  t.listen(1000);
  std::size_t promised = 0;
  for (std::uint16_t port = 50'000; port < 50'100; ++port) {
    t.from_port(port).inject(syn().mss(1460));
    promised += *t.take_sent().at(0).window;
    t.inject(ack(1));
  }
  EXPECT_LE(promised, 100u * 4096u + (1u << 20) / 8);
  EXPECT_EQ(t.tcp().connection_count(), 100u);
}

TEST(Memory, SendersShareTheBudgetAndGoOnWhenThereIsRoomAgain) {
  TcpScript t(with_pool(1 << 20));
  t.establish(syn().mss(1460).win(0));
  std::size_t taken = 0;
  while (true) {
    const auto result = t.try_write(50'000);
    if (!result) break;
    taken += *result;
  }
  EXPECT_GE(taken, 50'000u);
  EXPECT_LE(t.tcp().send_budget().used(), t.tcp().send_budget().total());
  static_cast<void>(t.socket().take_events());
  // The peer opens its window and takes everything.
  t.inject(ack(1).win(65'535));
  std::uint32_t acked = 1;
  for (int i = 0; i < 1000 && acked < taken + 1; ++i) {
    for (const Seg& sent : t.take_sent()) acked = std::max(acked, *sent.at + sent.length);
    t.inject(ack(acked));
  }
  EXPECT_EQ(acked, taken + 1);
  EXPECT_NE(t.socket().take_events() & kWritable, 0u);
  EXPECT_EQ(t.tcp().send_budget().used(), 0u);
  t.write(1000);
  t.take_sent();
}

TEST(Memory, AFullPoolFreezesNothing) {
  TcpScript::Options options = with_pool(1 << 20);
  options.caps.scatter = options.caps.tx_checksum = true;  // without, each frame is a copy
  TcpScript t(options);
  t.establish(syn().mss(1460));
  t.write(1000);
  t.expect(data(1, 1001));
  // Somebody else takes all there is.
  std::vector<BufferRef> hoard;
  for (const std::uint32_t size : {2048u, 512u}) {
    while (BufferRef buffer = t.stack().pool().allocate_buffer(size)) hoard.push_back(std::move(buffer));
  }
  EXPECT_LT(t.stack().pool().available(), 512u);
  // Retransmissions and control segments still go out: they live off the reserve.
  t.expect_after(200ms, data(1, 1001));
  std::size_t taken = *t.try_write(100'000);
  EXPECT_LE(taken, 2048u) << "no more than the room in the last chunk";
  EXPECT_EQ(t.try_write(1).error(), Error::kAgain);
  t.expect_nothing();  // Nagle
  t.expect_after(400ms, data(1, 1001));
  hoard.clear();
  t.inject(ack(1001));
  t.expect_stream(1001, 1001 + static_cast<std::uint32_t>(taken));
  t.inject(ack(1001 + static_cast<std::uint32_t>(taken)));
  t.write(1000);
  t.take_sent();
}

TEST(Memory, EverythingComesBack) {
  TcpScript t;
  t.establish();
  t.write(100'000);
  t.take_sent();
  for (std::uint32_t i = 0; i < 50; ++i) t.inject(data(101 + 200 * i, 201 + 200 * i));
  t.take_sent();
  t.inject(rst(1));
  t.close();
  t.close_listener();
  t.expect_clean();
  EXPECT_EQ(t.tcp().receive_budget().used(), 0u);
  EXPECT_EQ(t.tcp().send_budget().used(), 0u);
}

}  // namespace
}  // namespace millrace::test
