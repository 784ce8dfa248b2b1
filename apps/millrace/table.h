#pragma once

#include <array>
#include <cstdio>
#include <string>
#include <vector>

namespace millrace::command {

/// Columns as ss(8) prints them: each as wide as its widest cell, addresses flushed right against their
/// ports; what a terminal has left over is spread between them.
class SocketTable {
 public:
  struct Row {
    std::string net, state, receive_queue, send_queue;
    std::string local_address, local_port, peer_address, peer_port;  ///< ports with their colon
    std::string process;                                             ///< and what follows on the line
    std::string details;                                             ///< a line of its own; may be empty
  };

  /// `show_net`: the first column.
  SocketTable(bool show_net, bool show_header) : show_net_(show_net), show_header_(show_header) {}

  void add(Row row) { rows_.push_back(std::move(row)); }
  /// `width`: of the terminal; 0: it is none.
  [[nodiscard]] std::string render(std::size_t width) const;

 private:
  static constexpr std::size_t kColumns = 8;
  using Widths = std::array<std::size_t, kColumns>;

  [[nodiscard]] Widths measure(const Row& header, std::size_t width) const;
  void append(std::string& out, const Row& row, const Widths& widths) const;

  bool show_net_, show_header_;
  std::vector<Row> rows_;
};

/// Columns of the terminal that standard output is; 0: it is none.
[[nodiscard]] std::size_t terminal_width();

}  // namespace millrace::command
