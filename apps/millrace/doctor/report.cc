#include "doctor/report.h"

#include <algorithm>
#include <cstddef>

#include "json_text.h"

namespace millrace::doctor {

namespace {

using command::quoted_json;

const char* name_of(Severity severity) {
  switch (severity) {
    case Severity::kOk:
      return "ok";
    case Severity::kWarn:
      return "warn";
    case Severity::kBad:
      break;
  }
  return "bad";
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

}  // namespace

std::size_t count(const Findings& findings, Severity severity) {
  return static_cast<std::size_t>(std::count_if(
      findings.begin(), findings.end(), [severity](const Finding& one) { return one.severity == severity; }));
}

std::string as_text(const Findings& findings) {
  constexpr std::size_t kSeverityWidth = 6;
  std::size_t subject_width = 0;
  for (const Finding& finding : findings) subject_width = std::max(subject_width, finding.subject.size());
  std::string text;
  for (const Finding& finding : findings) {
    text += padded(name_of(finding.severity), kSeverityWidth) + padded(finding.subject, subject_width + 2) +
            finding.message;
    if (!finding.remedy.empty()) text += " -> " + finding.remedy;
    text += '\n';
  }
  return text;
}

std::string as_json(std::string_view device, const Findings& findings) {
  std::string text = "{\"device\":" + quoted_json(device) +
                     ",\"bad\":" + std::to_string(count(findings, Severity::kBad)) +
                     ",\"warn\":" + std::to_string(count(findings, Severity::kWarn)) + ",\"findings\":[";
  const char* separator = "";
  for (const Finding& finding : findings) {
    text += separator + ("{\"severity\":" + quoted_json(name_of(finding.severity))) +
            ",\"subject\":" + quoted_json(finding.subject) + ",\"message\":" + quoted_json(finding.message) +
            ",\"remedy\":" + quoted_json(finding.remedy) + "}";
    separator = ",";
  }
  return text + "]}\n";
}

}  // namespace millrace::doctor
