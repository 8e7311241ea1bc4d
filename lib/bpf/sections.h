// As what a BPF program of an agent is loaded and attached, by its section (third_party/bpf/ghost.bpf.h): a pure table.
#ifndef GHOST_LIB_BPF_SECTIONS_H_
#define GHOST_LIB_BPF_SECTIONS_H_

#include <linux/bpf.h>

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "kernel/ghost_uapi_bpf.h"

namespace ghost {

struct BpfSection {
  const char* name;
  uint32_t type;    // of programs, for ghost kernels
  uint32_t attach;  // the lower 16 bits of the attach type
  uint32_t since;   // the oldest ABI whose kernels have it
  bool user_mode;   // … and whether ghostd has
};
inline constexpr BpfSection kBpfSections[] = {
    {"ghost_sched/pnt", BPF_PROG_TYPE_GHOST_SCHED, BPF_GHOST_SCHED_PNT, 0, true},
    {"ghost_msg/msg_send", BPF_PROG_TYPE_GHOST_MSG, BPF_GHOST_MSG_SEND, 0, true},
    {"ghost_select_rq/select_rq", BPF_PROG_TYPE_GHOST_SELECT_RQ, BPF_GHOST_SELECT_RQ, 83, true},
    {"ghost_halt_poll/halt_poll", BPF_PROG_TYPE_GHOST_HALT_POLL, BPF_GHOST_HALT_POLL, 84, false},
};

// How the program of a section meets a kernel of version `abi`. Nothing: it is none of an agent's.
struct BpfProgramKind {
  bool loaded = true;                 // else this kernel has no such hook, and the program is left out
  uint32_t type = 0;                  // bpf_attr.prog_type
  uint32_t expected_attach_type = 0;  // … as it is loaded
  uint32_t flags = 0;                 // … prog_flags
  uint32_t attach_type = 0;           // at BPF_LINK_CREATE, or GHOSTD_IOC_BPF_ATTACH; the ABI in the upper 16 bits
};
inline std::optional<BpfProgramKind> KindOfBpfProgram(absl::string_view section, uint32_t abi, bool user_mode) {
  for (const BpfSection& known : kBpfSections) {
    if (section != known.name) continue;
    const uint32_t attach_type = known.attach | abi << 16;
    if (user_mode) return BpfProgramKind{known.user_mode, BPF_PROG_TYPE_SYSCALL, 0, BPF_F_SLEEPABLE, attach_type};
    return BpfProgramKind{abi >= known.since, known.type, attach_type, 0, attach_type};
  }
  return std::nullopt;
}

}  // namespace ghost

#endif  // GHOST_LIB_BPF_SECTIONS_H_
