// millrace doctor: what of this machine is in a device's way, and how to mend it.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "command.h"
#include "doctor/examine.h"
#include "doctor/report.h"

namespace millrace::command {

namespace {

struct DoctorOptions {
  std::string device, address;
  bool json = false;
  doctor::Target target;
  std::vector<IpPrefix> addresses;
};

/// "198.18.0.2/24,198.18.1.2/24": as run takes them.
std::string read_addresses(const std::string& text, std::vector<IpPrefix>& addresses) {
  addresses.clear();
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const std::string one = text.substr(from, comma - from);
    const std::optional<IpPrefix> prefix = IpPrefix::parse(one);
    if (!prefix) return "address \"" + one + "\" is malformed: expected one such as 198.18.0.1/24";
    addresses.push_back(*prefix);
    from = comma + 1;
  }
  return {};
}

int run(const DoctorOptions& options) {
  const doctor::Findings findings = doctor::examine(doctor::gather(options.target, options.addresses));
  const std::string text =
      options.json ? doctor::as_json(options.device, findings) : doctor::as_text(findings);
  std::fputs(text.c_str(), stdout);
  return doctor::count(findings, doctor::Severity::kBad) == 0 ? 0 : 1;
}

}  // namespace

void add_doctor(CLI::App& parent, Action& action) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App& app =
      add_command(parent, "doctor", "say what is in a device's way, and the commands that mend it");
  app.footer(
      "A line a check: ok, warn (works, but slower or with a risk) or bad, what is, and behind an arrow the\n"
      "command that mends it. Nothing is changed. Without a device: the machine, and which interfaces would\n"
      "do. The exit status is 1 when something is bad, else 0.");
  app.add_option("device", options->device, "as in run --dev: af_packet:eth1, dpdk:0000:3b:00.0")
      ->check([options](const std::string& spec) { return doctor::parse_target(spec, options->target); });
  app.add_option("--addr", options->address, "is it the stack's alone? 198.18.0.2/24; more, after commas")
      ->type_name("ADDRESS/PREFIX")
      ->check([options](const std::string& text) { return read_addresses(text, options->addresses); });
  app.add_flag("-j,--json", options->json, "as JSON");
  app.callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace millrace::command
