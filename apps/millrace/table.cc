#include "table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

namespace millrace::command {

namespace {

/// In the order of the columns.
std::array<const std::string*, 8> cells(const SocketTable::Row& row) {
  return {&row.net,           &row.state,      &row.receive_queue, &row.send_queue,
          &row.local_address, &row.local_port, &row.peer_address,  &row.peer_port};
}

constexpr std::size_t kLocalAddress = 4, kLocalPort = 5, kPeerAddress = 6, kPeerPort = 7;

constexpr bool is_port(std::size_t column) {
  return column == kLocalPort || column == kPeerPort;
}
constexpr bool is_address(std::size_t column) {
  return column == kLocalAddress || column == kPeerAddress;
}

}  // namespace

SocketTable::Widths SocketTable::measure(const Row& header, std::size_t width) const {
  Widths widths{};
  std::size_t process = 0;
  const auto widen = [&](const Row& row) {
    const auto texts = cells(row);
    for (std::size_t i = show_net_ ? 0 : 1; i < kColumns; ++i)
      widths[i] = std::max(widths[i], texts[i]->size());
    process = std::max(process, row.process.size());
  };
  if (show_header_) widen(header);
  for (const Row& row : rows_) widen(row);
  const std::size_t columns = show_net_ ? 6 : 5;
  // A space in front of all but the first, and of the process.
  const std::size_t total = std::accumulate(widths.begin(), widths.end(), columns + process);
  if (total >= width) return widths;
  const std::size_t share = (width - total) / columns;
  for (std::size_t i = show_net_ ? 0 : 1; i < kColumns; ++i) {
    if (!is_port(i)) widths[i] += share;
  }
  return widths;
}

void SocketTable::append(std::string& out, const Row& row, const Widths& widths) const {
  const auto texts = cells(row);
  for (std::size_t i = show_net_ ? 0 : 1; i < kColumns; ++i) {
    if (i > (show_net_ ? 0u : 1u) && !is_port(i)) out += ' ';
    const std::string padding(widths[i] - texts[i]->size(), ' ');
    if (is_address(i)) {
      out.append(padding).append(*texts[i]);
    } else {
      out.append(*texts[i]).append(padding);
    }
  }
  if (!row.process.empty()) out.append(" ").append(row.process);
  out.erase(out.find_last_not_of(' ') + 1);
  out += '\n';
  if (!row.details.empty()) out.append("\t").append(row.details).append("\n");
}

std::string SocketTable::render(std::size_t width) const {
  const Row header{"Netid", "State",        "Recv-Q", "Send-Q",  "Local Address",
                   ":Port", "Peer Address", ":Port",  "Process", ""};
  const Widths widths = measure(header, width);
  std::string out;
  if (show_header_) append(out, header, widths);
  for (const Row& row : rows_) append(out, row, widths);
  return out;
}

std::size_t terminal_width() {
  winsize size{};
  if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

}  // namespace millrace::command
