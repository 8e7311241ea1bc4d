// agent_flux: a tree of schedulers in BPF, as an agent program.
#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "lib/program/agent_main.h"
#include "schedulers/biff/slice_flag.h"
#include "schedulers/flux/flux_runtime.h"
#include "schedulers/flux/flux_tree.h"

ABSL_FLAG(
    std::string, tree, "roci(biff, idle)",
    "The sub-schedulers: TYPE(child, ...) for one that hands CPUs to others, TYPE for one that has threads, as in "
    "'roci(prov:1(biff, biff), idle)': threads with a negative nice value have one CPU whenever they want it.");

namespace {

absl::Status CheckFlags() {
  if (absl::StatusOr<ghost::FluxTree> tree = ghost::FluxTree::Parse(absl::GetFlag(FLAGS_tree)); !tree.ok()) {
    return ghost::WithHint(absl::InvalidArgumentError(absl::StrCat("--tree: ", tree.status().message())),
                           absl::StrCat("such as 'roci(biff, idle)'; for CPUs: ", ghost::FluxTree::Branches(),
                                        "; for threads: ", ghost::FluxTree::Leaves()));
  }
  return ghost::CheckSliceFlag();
}

}  // namespace

int main(int argc, char** argv) {
  ghost::AgentProgram program;
  program.info = {
      .name = "agent_flux",
      .summary =
          "schedules the threads of an enclave by a tree of sub-schedulers, which hand CPUs to one another, "
          "by BPF programs in the kernel (docs/flux.md)",
      .examples = {"agent_flux                      # every CPU of the kernel in use",
                   "agent_flux --ghost_cpus 0-1 --slice 10ms --tree 'roci(prov:1(biff, biff), idle)'",
                   "agent_flux --enclave enclave_1  # go on with an enclave that is there"},
      .notes = ghost::AgentNotes("threads and CPUs")};
  program.check_flags = CheckFlags;
  program.make_runtime = [](ghost::Enclave* enclave, ghost::RuntimeOptions options) {
    return std::make_unique<ghost::FluxRuntime>(
        enclave, std::move(options),
        ghost::FluxRuntime::Config{.tree = *ghost::FluxTree::Parse(absl::GetFlag(FLAGS_tree)),
                                   .slice = absl::GetFlag(FLAGS_slice)});
  };
  return ghost::RunAgentProgram(program, argc, argv);
}
