// An instruction of BPF from plain numbers (linux/bpf.h), for tests that write programs by hand.
#ifndef GHOST_TESTS_BPF_INSN_H_
#define GHOST_TESTS_BPF_INSN_H_

#include <linux/bpf.h>

#include <cstdint>

namespace ghost {

inline bpf_insn Insn(int code, int dst = 0, int src = 0, int off = 0, int imm = 0) {
  return {.code = static_cast<uint8_t>(code),
          .dst_reg = static_cast<uint8_t>(dst & 0xf),
          .src_reg = static_cast<uint8_t>(src & 0xf),
          .off = static_cast<int16_t>(off),
          .imm = imm};
}

}  // namespace ghost

#endif  // GHOST_TESTS_BPF_INSN_H_
