// On which step of the ladder of kernels a machine stands, for this user, and what would lift it to the next.
//
// What it is not: it tries nothing (probes.h does). Any thread.
#ifndef GHOST_UTIL_CTL_LADDER_H_
#define GHOST_UTIL_CTL_LADDER_H_

#include <string>

#include "util/ctl/probes.h"

namespace ghost::ctl {

// Best first. The texts are in ladder.cc; docs/usermode-kernel.md describes each.
enum class Step {
  kGhostKernel = 1,
  kGhostdBpf = 2,      // ptrace + BPF
  kGhostdSyscall = 3,  // ptrace syscall stops
  kGhostdUser = 4,     // the same, as an ordinary user
  kSimulation = 5,     // no ghostd: ghostsim
};

struct LadderInput {
  bool ghost_kernel = false;
  bool root = false;  // of the machine or its container, not of a user namespace of one's own
  // What ghostd needs, whatever its gate; then what the BPF gate needs.
  Finding fuse, mount, ptrace, shared_memory;
  Finding bpf, btf;
};

// A finding named "ladder": ok, or info from kGhostdUser on; the hint is what lifts.
struct LadderResult {
  Step step;
  Finding finding;
};
LadderResult Climb(const LadderInput& input);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_LADDER_H_
