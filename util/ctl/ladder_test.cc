#include "util/ctl/ladder.h"

#include "gtest/gtest.h"

namespace ghost::ctl {
namespace {

Finding Found(const std::string& name) { return {name, Verdict::kOk, "", ""}; }
Finding Missing(const std::string& name) { return {name, Verdict::kFix, "", "do " + name}; }

LadderInput Everything() {
  LadderInput input;
  input.root = true;
  input.fuse = Found("fuse");
  input.mount = Found("mount");
  input.ptrace = Found("ptrace");
  input.shared_memory = Found("shm");
  input.bpf = Found("BPF");
  input.btf = Found("BTF");
  return input;
}

void ExpectStep(const LadderInput& input, Step step, const std::string& hint) {
  const LadderResult result = Climb(input);
  EXPECT_EQ(result.step, step);
  EXPECT_EQ(result.finding.hint, hint);
  EXPECT_EQ(result.finding.text.rfind("step " + std::to_string(static_cast<int>(step)) + " of 5: ", 0), 0u)
      << result.finding.text;
}

TEST(Ladder, EachStepSaysWhatLifts) {
  LadderInput input = Everything();
  input.ghost_kernel = true;
  ExpectStep(input, Step::kGhostKernel, "");
  input.ghost_kernel = false;
  ExpectStep(input, Step::kGhostdBpf, "to step 1: boot a ghost kernel (docs/ghost-kernel.md)");
  input.btf = Missing("BTF");
  ExpectStep(input, Step::kGhostdSyscall, "to step 2: BTF: do BTF");
  input.bpf = Missing("BPF");
  ExpectStep(input, Step::kGhostdSyscall, "to step 2: BPF: do BPF");
  input.root = false;
  ExpectStep(input, Step::kGhostdUser, "to step 3: run as root");
  input.btf = Found("BTF");
  ExpectStep(input, Step::kGhostdUser, "to step 2: run as root");
  input.ptrace = Missing("ptrace");
  ExpectStep(input, Step::kSimulation, "to step 4: ptrace: do ptrace");
  input.root = true;
  ExpectStep(input, Step::kSimulation, "to step 3: ptrace: do ptrace");
}

TEST(Ladder, WithoutAnyOfTheNeededTheSimulationIsLeft) {
  for (Finding LadderInput::*needed :
       {&LadderInput::fuse, &LadderInput::mount, &LadderInput::ptrace, &LadderInput::shared_memory}) {
    LadderInput input = Everything();
    input.*needed = Missing("it");
    EXPECT_EQ(Climb(input).step, Step::kSimulation);
    EXPECT_EQ(Climb(input).finding.verdict, Verdict::kInfo);
  }
}

}  // namespace
}  // namespace ghost::ctl
