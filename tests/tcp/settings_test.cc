// The table of settings: that each one is the value it says, and does something; and that the manual has
// them.

#include "tcp/settings.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "support/tcp_script.h"
#include "tcp/congestion_list.h"
#include "tcp/counters.h"

namespace millrace::test {
namespace {

using tcp::apply_setting;
using tcp::apply_settings;
using tcp::Config;
using tcp::Setting;
using tcp::settings;
using tcp::value_of;

std::string entry_of(const Setting& setting, const std::string& value) {
  return std::string(setting.name) + "=" + value;
}

/// `number` in all places.
std::string repeated(const Setting& setting, std::int64_t number) {
  std::string value;
  for (std::size_t i = 0; i < setting.count; ++i) value += (i == 0 ? "" : " ") + std::to_string(number);
  return value;
}

std::map<std::string_view, std::string> values_of(const Config& config) {
  std::map<std::string_view, std::string> values;
  for (const Setting& setting : settings()) values[setting.name] = value_of(setting, config);
  return values;
}

TEST(Settings, HaveNamesOfTheirOwnAndDefaultsWithinTheirRanges) {
  std::set<std::string_view> names;
  for (const Setting& setting : settings()) {
    EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
    Config config;
    EXPECT_EQ(apply_setting(entry_of(setting, value_of(setting, config)), config), "") << setting.name;
    EXPECT_EQ(values_of(config), values_of(Config{})) << setting.name;
  }
}

TEST(Settings, EndAtTheirRanges) {
  for (const Setting& setting : settings()) {
    if (setting.congestion) continue;
    for (const std::int64_t number : {setting.low, setting.high}) {
      Config config;
      EXPECT_EQ(apply_setting(entry_of(setting, repeated(setting, number)), config), "") << setting.name;
      EXPECT_EQ(value_of(setting, config), repeated(setting, number));
      auto values = values_of(config), wanted = values_of(Config{});
      wanted[setting.name] = values[setting.name];
      EXPECT_EQ(values, wanted) << setting.name << " sets others, too";
    }
    for (const std::int64_t number : {setting.low - 1, setting.high + 1}) {
      Config config;
      const std::string wrong = apply_setting(entry_of(setting, repeated(setting, number)), config);
      EXPECT_NE(wrong.find(tcp::range_of(setting)), std::string::npos) << setting.name << ": " << wrong;
      EXPECT_EQ(values_of(config), values_of(Config{})) << setting.name;
    }
  }
}

TEST(Settings, SayWhatIsWrong) {
  Config config;
  const auto wrong = [&config](const char* entry) { return apply_setting(entry, config); };
  EXPECT_EQ(wrong("ecn"), "is not NAME=VALUE");
  EXPECT_EQ(wrong("ecn=3"), "must be a number from 0 to 2");
  EXPECT_EQ(wrong("ecn="), "must be a number from 0 to 2");
  EXPECT_EQ(wrong("ecn=1 1"), "must be a number from 0 to 2");
  EXPECT_EQ(wrong("ecn=1x"), "must be a number from 0 to 2");
  EXPECT_EQ(wrong("congestion_control=vegas"), "must be one of cubic, reno, bbr, dctcp");
  EXPECT_EQ(wrong("wmem=4096 16384"), "must be 3 numbers from 2048 to 2147483647, the last one the largest");
  EXPECT_EQ(wrong("ip_local_port_range=5000 4000"),
            "must be 2 numbers from 1 to 65535, the last one the largest");
  EXPECT_EQ(wrong("keepalive_tiem=5"), "names no TCP setting; did you mean \"keepalive_time\"?");
  EXPECT_EQ(wrong("congestion=reno"), "names no TCP setting; did you mean \"congestion_control\"?");
  EXPECT_EQ(wrong("net.ipv4.tcp_sack=1"), "names no TCP setting; did you mean \"sack\"?");
  EXPECT_EQ(wrong("colour=blue"), "names no TCP setting; `millrace settings` lists them");
  EXPECT_EQ(wrong("=1"), "names no TCP setting; `millrace settings` lists them");
  EXPECT_EQ(values_of(config), values_of(Config{}));
  EXPECT_EQ(apply_settings("sack=0; ecn=9;timestamps=0", config), "\"ecn=9\" must be a number from 0 to 2");
}

TEST(Settings, AreTakenInOrderAndInSeveralSpellings) {
  Config config;
  EXPECT_EQ(apply_settings("", config), "");
  EXPECT_EQ(apply_settings(" ecn=1 ;; ecn=0;fastopen=0x203;sack=false;rmem=8192,131072\t1048576;", config),
            "");
  EXPECT_EQ(config.ecn, Config::Ecn::kOff);
  EXPECT_EQ(config.fast_open, 0x203u);
  EXPECT_FALSE(config.sack);
  EXPECT_EQ(config.receive_window_min, 4096u);
  EXPECT_EQ(config.receive_window_initial, 65536u);
  EXPECT_EQ(config.receive_window_max, 524288u);
}

// --- what they do

TcpScript::Options with(std::string_view entries) {
  TcpScript::Options options;
  EXPECT_EQ(apply_settings(entries, options.stack.tcp), "");
  return options;
}

TEST(Settings, AreWhatSocketsStartWith) {
  TcpScript t(
      with("congestion_control=reno;syn_retries=3;keepalive_time=11;keepalive_intvl=12;"
           "keepalive_probes=13;fin_timeout=14;notsent_lowat=15000;rmem=4096 40000 200000"));
  t.listen();
  t.inject(syn().mss(1460));
  t.expect(synack().win(20'000));
  t.inject(ack(1));
  ASSERT_NE(t.accept(), nullptr);
  const auto option = [&t](SocketOption which) { return t.socket().option(which).value(); };
  EXPECT_EQ(tcp::congestion_list()[static_cast<std::size_t>(option(SocketOption::kCongestion))].name, "reno");
  EXPECT_EQ(option(SocketOption::kSynCount), 3);
  EXPECT_EQ(option(SocketOption::kKeepaliveIdle), 11);
  EXPECT_EQ(option(SocketOption::kKeepaliveInterval), 12);
  EXPECT_EQ(option(SocketOption::kKeepaliveCount), 13);
  EXPECT_EQ(option(SocketOption::kLinger2), 14);
  EXPECT_EQ(option(SocketOption::kNotSentLowWater), 15'000);
  EXPECT_EQ(option(SocketOption::kReceiveBuffer), 40'000);
}

TEST(Settings, SynRetriesEndAConnect) {
  TcpScript t(with("syn_retries=1"));
  static_cast<void>(t.connect());
  t.expect(syn());
  t.expect_after(1s, syn());
  t.expect_nothing_for(2s);
  t.after(1ms);
  EXPECT_EQ(t.error(), Error::kTimedOut);
}

TEST(Settings, IdleNeedNotShrinkTheWindow) {
  for (const bool decays : {true, false}) {
    TcpScript t(with(decays ? "slow_start_after_idle=1" : "slow_start_after_idle=0"));
    t.establish(syn().mss(1000));
    t.write(200'000);
    for (std::uint32_t next = 1; next < 200'001;) {
      for (const Seg& sent : t.take_sent()) next = *sent.at + sent.length;
      t.inject(ack(next));
    }
    const std::uint32_t grown = t.info().snd_cwnd;
    ASSERT_GT(grown, 10u);
    t.after(60s);
    t.write(1);
    t.take_sent();
    if (decays) {
      EXPECT_EQ(t.info().snd_cwnd, 10u);
    } else {
      EXPECT_EQ(t.info().snd_cwnd, grown);
    }
  }
}

TEST(Settings, TimeWaitIsTakenOverWhereAllowed) {
  for (const auto& [entry, taken] :
       {std::pair{"tw_reuse=0", false}, {"tw_reuse=1", true}, {"tw_reuse=2", false}}) {
    TcpScript t(with(entry));
    t.from_port(TcpScript::kServerPort);
    t.establish_active(synack().mss(1460).with_ts());
    const Endpoint local = t.socket().local_endpoint();
    t.close();
    t.take_sent();
    t.inject(fin(1).ack(2));
    t.take_sent();
    ASSERT_EQ(t.tcp().time_wait_count(), 1u);
    t.after(2s);
    auto socket = t.tcp().create_socket(IpAddress::Family::kV4);
    static_cast<void>(socket->set_option(SocketOption::kReuseAddress, 1, t.now()));
    ASSERT_TRUE(socket->bind(local));
    const auto result = socket->connect({TcpScript::kPeer, TcpScript::kServerPort}, t.now());
    EXPECT_EQ(result.error(), taken ? Error::kInProgress : Error::kAddressNotAvailable) << entry;
    EXPECT_EQ(t.count(tcp::Counter::kTimeWaitRecycled), taken ? 1u : 0u) << entry;
    socket->close(t.now());
    socket.reset();
    t.flush();
    t.take_sent();
  }
}

// --- the manual

std::string manual() {
  std::ostringstream text;
  text << "# Settings of TCP\n\n"
          "What `--tcp NAME=VALUE`, `MILLRACE_TCP=\"NAME=VALUE;NAME=VALUE\"`, a table `[tcp]` in the file "
          "given with\n"
          "`--config` (`congestion_control = \"bbr\"`, `rmem = [8192, 131072, 4194304]`) and the field `tcp` "
          "of\n"
          "`mr_config` take; `millrace settings` prints it. The command line comes before the environment, "
          "that before\n"
          "the file, and the program's `mr_config` before them all, name by name. Names, units and meanings "
          "are those\n"
          "of Linux's `net.ipv4.tcp_` sysctls where there is one. A test holds this table to the code: after "
          "a\n"
          "change, `MILLRACE_WRITE_MANUAL=1 build/tests/tcp/test-tcp --gtest_filter='Settings.*'`.\n\n"
          "| name | default | range | unit | what it is |\n| --- | --- | --- | --- | --- |\n";
  for (const Setting& setting : settings()) {
    text << "| `" << setting.name << "` | " << value_of(setting, Config{}) << " | " << tcp::range_of(setting)
         << " | " << setting.unit << " | " << setting.meaning << " |\n";
  }
  return text.str();
}

TEST(Settings, AreInTheManual) {
  if (std::getenv("MILLRACE_WRITE_MANUAL") != nullptr) std::ofstream(MILLRACE_SETTINGS_MANUAL) << manual();
  std::ostringstream there;
  there << std::ifstream(MILLRACE_SETTINGS_MANUAL).rdbuf();
  EXPECT_EQ(there.str(), manual());
}

}  // namespace
}  // namespace millrace::test
