#include <gtest/gtest.h>

#include "support/stack_pair.h"

namespace millrace::test {
namespace {

std::unique_ptr<Socket> udp_socket(StackPair::End& end) {
  return std::move(*end.stack.create_socket(SocketType::kDatagram));
}

class UdpExchange : public ::testing::TestWithParam<DeviceCaps> {};

TEST_P(UdpExchange, DatagramsOfEverySizeGoThereAndBack) {
  StackPair pair(GetParam());
  auto server = udp_socket(pair.a);
  auto client = udp_socket(pair.b);
  const Endpoint service{pair.a.address, 7};
  ASSERT_TRUE(server->bind(service).ok());
  for (const std::size_t size : {0u, 1u, 17u, 1471u, 1472u, 1473u, 2960u, 8000u, 65507u}) {
    const Bytes data = pattern(size);
    ASSERT_TRUE(send_to(*client, data, &service, pair.now).ok()) << size;
    pair.settle();
    const auto request = receive_from(*server, pair.now);
    ASSERT_TRUE(request.ok()) << size;
    ASSERT_EQ(request->data, data);
    ASSERT_EQ(request->received.from, (Endpoint{pair.b.address, client->local_endpoint().port}));
    ASSERT_EQ(request->received.to, pair.a.address);
    ASSERT_TRUE(send_to(*server, request->data, &request->received.from, pair.now).ok());
    pair.settle();
    const auto answer = receive_from(*client, pair.now);
    ASSERT_TRUE(answer.ok()) << size;
    ASSERT_EQ(answer->data, data);
  }
  EXPECT_EQ(pair.a.stack.pool().packets_in_use(), 0u);
  EXPECT_EQ(pair.a.stack.pool().buffers_in_use(), 0u);
  EXPECT_EQ(pair.b.stack.pool().packets_in_use(), 0u);
  EXPECT_EQ(pair.b.stack.pool().buffers_in_use(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Devices, UdpExchange,
                         ::testing::Values(DeviceCaps{}, DeviceCaps{.scatter = true},
                                           DeviceCaps{
                                               .tx_checksum = true, .rx_checksum = true, .scatter = true}));

}  // namespace
}  // namespace millrace::test
