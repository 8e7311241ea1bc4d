#include "util/ctl/ladder.h"

#include "absl/strings/str_cat.h"

namespace ghost::ctl {
namespace {

bool Lacks(const Finding& finding) { return finding.verdict == Verdict::kFix; }

const char* Text(Step step) {
  switch (step) {
    case Step::kGhostKernel:
      return "a ghost kernel";
    case Step::kGhostdBpf:
      return "ghostd, gate: ptrace + BPF";
    case Step::kGhostdSyscall:
      return "ghostd without BPF, gate: ptrace syscall stops (exact, slower)";
    case Step::kGhostdUser:
      return "ghostd as an ordinary user: own processes only, no real-time priorities, gate: ptrace syscall stops";
    case Step::kSimulation:
      return "no ghost kernel and no ghostd: ghostsim shows a policy's schedule on a simulated machine";
  }
  return "?";
}

Step StepOf(const LadderInput& input) {
  if (input.ghost_kernel) return Step::kGhostKernel;
  for (const Finding* needed : {&input.fuse, &input.mount, &input.ptrace, &input.shared_memory}) {
    if (Lacks(*needed)) return Step::kSimulation;
  }
  if (!Lacks(input.bpf) && !Lacks(input.btf)) return Step::kGhostdBpf;
  return input.root ? Step::kGhostdSyscall : Step::kGhostdUser;
}

std::string Missing(const Finding& finding) { return absl::StrCat(finding.name, ": ", finding.hint); }

std::string Lift(Step step, const LadderInput& input) {
  switch (step) {
    case Step::kGhostKernel:
      return "";
    case Step::kGhostdBpf:
      return "to step 1: boot a ghost kernel (docs/ghost-kernel.md)";
    case Step::kGhostdSyscall:
      return absl::StrCat("to step 2: ", Missing(Lacks(input.bpf) ? input.bpf : input.btf));
    case Step::kGhostdUser:
      // Where BTF is missing, root stands one step lower.
      return absl::StrCat("to step ", Lacks(input.btf) ? 3 : 2, ": run as root");
    case Step::kSimulation:
      for (const Finding* needed : {&input.fuse, &input.mount, &input.ptrace, &input.shared_memory}) {
        if (Lacks(*needed)) return absl::StrCat("to step ", input.root ? 3 : 4, ": ", Missing(*needed));
      }
  }
  return "";
}

}  // namespace

LadderResult Climb(const LadderInput& input) {
  const Step step = StepOf(input);
  Finding finding;
  finding.name = "ladder";
  finding.verdict = step < Step::kGhostdUser ? Verdict::kOk : Verdict::kInfo;
  finding.text = absl::StrCat("step ", static_cast<int>(step), " of 5: ", Text(step));
  finding.hint = Lift(step, input);
  return {step, finding};
}

}  // namespace ghost::ctl
