#pragma once

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace::drivers {

using BpfProgram = std::vector<bpf_insn>;

/// One instruction; `offset` is where it jumps, counted from the next one, or of what it loads.
[[nodiscard]] inline bpf_insn bpf_instruction(int code, int destination, int source, std::size_t offset,
                                              std::int32_t value) {
  bpf_insn made{};
  made.code = static_cast<__u8>(code);
  made.dst_reg = static_cast<__u8>(destination & 15);
  made.src_reg = static_cast<__u8>(source & 15);
  made.off = static_cast<__s16>(offset);
  made.imm = value;
  return made;
}

inline void add_return(BpfProgram& program, std::int32_t verdict) {
  program.push_back(bpf_instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, verdict));
  program.push_back(bpf_instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

}  // namespace millrace::drivers
