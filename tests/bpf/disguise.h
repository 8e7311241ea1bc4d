// Programs for ghost kernels before a stock kernel's verifier: what it says of all but the ghost types themselves.
//
// No stock kernel has the program types 1000 to 1003, their contexts and helpers, but its verifier judges the rest as a
// ghost kernel's does. A program in disguise is of an ordinary type; its context is an element of a map, of the size
// that the layout has and not a byte more, and calls of ghost helpers are calls of helpers that take and give numbers;
// what they write is written before. For tests. What it is not: it does not show that a ghost kernel has these helpers
// for these types, nor which fields of a context may be written.
#ifndef GHOST_TESTS_BPF_DISGUISE_H_
#define GHOST_TESTS_BPF_DISGUISE_H_

#include <linux/bpf.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ghost {

struct DisguisedCode {
  std::vector<bpf_insn> code;
  std::vector<uint32_t> moved;  // by the number of an instruction before: where it, and what was put before it, begins
  std::string error;            // not empty: it can't be done, why
};

// `context`: a descriptor of an array whose element 0 is the context. `code` is relocated.
DisguisedCode Disguise(const std::vector<bpf_insn>& code, int context);

// Of the context of a section's programs; 0: no such section.
uint32_t ContextBytes(const std::string& section, uint32_t layout);

}  // namespace ghost

#endif  // GHOST_TESTS_BPF_DISGUISE_H_
