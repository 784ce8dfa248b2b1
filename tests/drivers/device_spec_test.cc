#include "device_spec.h"

#include <gtest/gtest.h>

namespace millrace::drivers {
namespace {

using Options = std::vector<std::pair<std::string, std::string>>;

SpecLayer parsed(std::string_view text) {
  SpecLayer layer;
  EXPECT_EQ(parse_spec_layer(text, layer), "") << text;
  return layer;
}

std::string error_of(std::string_view text) {
  SpecLayer layer;
  return parse_spec_layer(text, layer);
}

TEST(DeviceSpec, SplitsDriverAndDevice) {
  const SpecLayer layer = parsed("af_packet:veth1");
  EXPECT_EQ(layer.driver, "af_packet");
  EXPECT_TRUE(layer.options.empty());
  EXPECT_EQ(layer.rest, "veth1");
}

TEST(DeviceSpec, LeavesTheDeviceBelowADecoratorWhole) {
  const SpecLayer layer = parsed("fault(loss=0.01,seed=7):af_packet(mac=02:00:00:00:00:01):veth1");
  EXPECT_EQ(layer.driver, "fault");
  EXPECT_EQ(layer.options, (Options{{"loss", "0.01"}, {"seed", "7"}}));
  EXPECT_EQ(layer.rest, "af_packet(mac=02:00:00:00:00:01):veth1");
  EXPECT_EQ(parsed(layer.rest).options, (Options{{"mac", "02:00:00:00:00:01"}}));
  EXPECT_EQ(parsed(layer.rest).rest, "veth1");
}

TEST(DeviceSpec, TakesEmptyParenthesesAsNoOptions) {
  EXPECT_TRUE(parsed("pipe():a").options.empty());
}

TEST(DeviceSpec, SaysInOneLineWhatIsMalformed) {
  for (const std::string_view text :
       {"", ":", ":veth1", "af_packet", "af_packet:", "af packet:x", "fault(loss=1:pipe:a",
        "fault(loss):pipe:a", "fault(loss=):pipe:a", "fault(=1):pipe:a", "fault(loss=1,):pipe:a",
        "fault(,):pipe:a", "fault(loss=1)pipe:a", "fault(loss=1)", "fault(loss=1,loss=2):pipe:a",
        "fault(lo ss=1):pipe:a"}) {
    const std::string error = error_of(text);
    EXPECT_NE(error, "") << text;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    EXPECT_NE(error.find("\"" + std::string(text) + "\""), std::string::npos) << error;
  }
}

TEST(DeviceSpec, NamesTheOptionThatIsGivenTwice) {
  EXPECT_NE(error_of("fault(loss=1,loss=2):pipe:a").find("\"loss\" is given twice"), std::string::npos);
}

TEST(OptionReader, ReadsEachType) {
  const SpecLayer layer = parsed(
      "x(count=12,on=1,off=off,p=0.25,percent=5%,wait=1.5ms,none=0,rate=10.5M,mac=02:00:00:00:00:07,word=b):"
      "d");
  std::uint64_t count = 0, rate = 0;
  bool on = false, off = true;
  double p = 0, percent = 0;
  Duration wait{}, none{1};
  MacAddress mac;
  std::size_t word = 0;
  OptionReader reader(layer);
  reader.number("count", count, 1, 100);
  reader.flag("on", on);
  reader.flag("off", off);
  reader.probability("p", p);
  reader.probability("percent", percent);
  reader.duration("wait", wait, 1s);
  reader.duration("none", none, 1s);
  reader.rate("rate", rate);
  reader.mac("mac", mac);
  reader.choice("word", {"a", "b"}, word);
  EXPECT_EQ(reader.finish(), "");
  EXPECT_EQ(count, 12u);
  EXPECT_TRUE(on);
  EXPECT_FALSE(off);
  EXPECT_DOUBLE_EQ(p, 0.25);
  EXPECT_DOUBLE_EQ(percent, 0.05);
  EXPECT_EQ(wait, 1500us);
  EXPECT_EQ(none, 0s);
  EXPECT_EQ(rate, 10'500'000u);
  EXPECT_EQ(mac, (MacAddress{{2, 0, 0, 0, 0, 7}}));
  EXPECT_EQ(word, 1u);
}

TEST(OptionReader, LeavesTheDefaultOfAnOptionThatIsNotGiven) {
  const SpecLayer layer = parsed("x:d");
  std::uint64_t count = 3;
  OptionReader reader(layer);
  reader.number("count", count, 1, 100);
  EXPECT_EQ(reader.finish(), "");
  EXPECT_EQ(count, 3u);
  EXPECT_FALSE(reader.given("count"));
}

/// The error that reading option o with `read` gives.
template <typename Read>
std::string error_reading(const std::string& value, Read read) {
  const SpecLayer layer = parsed("x(o=" + value + "):d");
  OptionReader reader(layer);
  read(reader);
  return reader.finish();
}

TEST(OptionReader, RefusesValuesOutOfRangeOrOfTheWrongForm) {
  std::uint64_t n = 77;
  for (const std::string value : {"0", "101", "-1", "1.5", "x", "5x", "99999999999999999999"}) {
    EXPECT_NE(error_reading(value, [&n](OptionReader& r) { r.number("o", n, 1, 100); }), "") << value;
  }
  for (const std::string value : {"1", "999", "1001G", "10Mbit", "-10M", "nan", "fast"}) {
    EXPECT_NE(error_reading(value, [&n](OptionReader& r) { r.rate("o", n); }), "") << value;
  }
  EXPECT_EQ(n, 77u) << "a refused value must not be stored";
  double p = 0.5;
  for (const std::string value : {"1.01", "-0.1", "101%", "nan", "inf", "1e-2x", "%", "half"}) {
    EXPECT_NE(error_reading(value, [&p](OptionReader& r) { r.probability("o", p); }), "") << value;
  }
  EXPECT_EQ(p, 0.5);
  Duration wait = 7ms;
  for (const std::string value : {"5", "11s", "-1ms", "1h", "ms", "nanms"}) {
    EXPECT_NE(error_reading(value, [&wait](OptionReader& r) { r.duration("o", wait, 10s); }), "") << value;
  }
  EXPECT_EQ(wait, 7ms);
  bool flag = true;
  EXPECT_NE(error_reading("yes", [&flag](OptionReader& r) { r.flag("o", flag); }), "");
  MacAddress mac;
  for (const std::string value :
       {"02:00:00:00:00", "01:00:5e:00:00:01", "00:00:00:00:00:00", "zz:00:00:00:00:01"}) {
    EXPECT_NE(error_reading(value, [&mac](OptionReader& r) { r.mac("o", mac); }), "") << value;
  }
  std::size_t word = 0;
  EXPECT_EQ(error_reading("c",
                          [&word](OptionReader& r) {
                            r.choice("o", {"a", "b"}, word);
                          }),
            "x: option o=c: must be one of a, b");
}

TEST(OptionReader, NamesAnUnknownOptionAndTheKnownOnes) {
  const SpecLayer layer = parsed("x(los=0.1):d");
  double loss = 0;
  OptionReader reader(layer);
  reader.probability("loss", loss);
  EXPECT_EQ(reader.finish(), "x: unknown option \"los\"; it takes loss");
}

TEST(OptionReader, KeepsTheFirstError) {
  const SpecLayer layer = parsed("x(a=1,b=2):d");
  std::uint64_t n = 0;
  OptionReader reader(layer);
  reader.number("a", n, 5, 6);
  reader.number("b", n, 7, 8);
  EXPECT_NE(reader.finish().find("a=1"), std::string::npos);
}

TEST(DeviceSpec, QuotedValuesMayHoldWhatSeparates) {
  SpecLayer layer;
  ASSERT_EQ(parse_spec_layer("dpdk(eal=\"--lcores 0@(0,1) -d a,b\",pool=5):net_null0,x=1", layer), "");
  ASSERT_EQ(layer.options.size(), 2u);
  EXPECT_EQ(layer.options[0].second, "--lcores 0@(0,1) -d a,b");
  EXPECT_EQ(layer.options[1].second, "5");
  EXPECT_EQ(layer.rest, "net_null0,x=1");
  EXPECT_NE(parse_spec_layer("dpdk(eal=\"--no-huge):net_null0", layer), "");
}

}  // namespace
}  // namespace millrace::drivers
