#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/time.h"
#include "open_device.h"
#include "packet/pool.h"

namespace millrace::drivers {

/// A `dpdk:` device in this process. Without DPDK the test is skipped, with the line that a user would read.
class DpdkTest : public testing::Test {
 protected:
  static constexpr Instant kStart = kEpoch + 100s;

  void SetUp() override {
    const OpenResult opened = open_device("dpdk:net_null_probe");
    if (opened.error.find("has no DPDK") != std::string::npos) GTEST_SKIP() << opened.error;
  }
  [[nodiscard]] static std::unique_ptr<NetDevice> open(std::string_view spec) {
    OpenResult opened = open_device(spec);
    EXPECT_TRUE(opened.ok()) << opened.error;
    return std::move(opened.device);
  }
  [[nodiscard]] static std::uint64_t counter(NetDevice& device, std::string_view name) {
    for (const auto& [known, value] : device.extended_stats()) {
      if (known == name) return value;
    }
    ADD_FAILURE() << "no counter " << name;
    return 0;
  }
};

}  // namespace millrace::drivers
