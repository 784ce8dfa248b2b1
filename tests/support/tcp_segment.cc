#include "support/tcp_segment.h"

#include <sstream>

namespace millrace::test {

std::string Seg::to_string() const {
  std::ostringstream text;
  std::string letters;
  if (has(Flags::kFin)) letters += 'F';
  if (has(Flags::kSyn)) letters += 'S';
  if (has(Flags::kRst)) letters += 'R';
  if (has(Flags::kPsh)) letters += 'P';
  if (has(Flags::kUrg)) letters += 'U';
  if (has(Flags::kEce)) letters += 'E';
  if (has(Flags::kCwr)) letters += 'W';
  if (has(Flags::kAck)) letters += '.';
  text << (letters.empty() ? "-" : letters);
  if (at) {
    text << ' ' << *at << ':' << *at + length << '(' << length << ')';
  } else {
    text << " ?:?(" << length << ')';
  }
  if (acknowledges) text << " ack " << *acknowledges;
  if (window) text << " win " << *window;
  if (has(Flags::kUrg)) text << " urg " << urgent;
  if (type_of_service && *type_of_service != 0) text << " tos " << unsigned{*type_of_service};
  if (dont_fragment && !*dont_fragment) text << " no DF";
  std::string options;
  const auto option = [&options](const std::string& one) { options += (options.empty() ? "" : ",") + one; };
  if (max_segment) option("mss " + std::to_string(*max_segment));
  if (sack_permitted && *sack_permitted) option("sackOK");
  if (timestamps) {
    option("TS val " + std::to_string(timestamps->value) + " ecr " + std::to_string(timestamps->echo));
  } else if (has_timestamps) {
    option(*has_timestamps ? "TS" : "no TS");
  }
  if (scale) option("wscale " + std::to_string(*scale));
  if (fast_open) option("FO of " + std::to_string(fast_open->length));
  if (user_timeout) option("UTO " + std::to_string(*user_timeout));
  for (const auto& [left, right] : blocks) {
    option("sack " + std::to_string(left) + ":" + std::to_string(right));
  }
  if (!options.empty()) text << " <" << options << '>';
  if (super) text << " super";
  return text.str();
}

}  // namespace millrace::test
