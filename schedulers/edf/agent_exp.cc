// agent_exp: the EDF policy as an agent program.
#include <iostream>
#include <memory>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "lib/centralized_runtime.h"
#include "lib/enclave.h"
#include "lib/program/agent_main.h"
#include "lib/program/centralized_main.h"
#include "lib/runtime.h"
#include "schedulers/edf/edf_policy.h"
#include "schedulers/hints/prio_table_hints.h"

ABSL_FLAG(bool, ticks, false, "Have the kernel post its ticks, which end the sleep of an idle scheduler.");
ABSL_FLAG(bool, preempt_earlier_deadline, true,
          "Whether an earlier deadline takes the CPU of a later one; false: only a higher quality of service does.");

namespace ghost {
namespace {

absl::StatusOr<EdfPolicy::Options> OptionsFromFlags() {
  return EdfPolicy::Options{.preempt_earlier_deadline = absl::GetFlag(FLAGS_preempt_earlier_deadline)};
}

AgentProgram MakeProgram(const ProgramInfo& info) {
  AgentProgram program =
      MakeCentralizedProgram<EdfPolicy>(info, OptionsFromFlags, [] { return std::make_shared<PrioTableHints>(); });
  program.make_runtime = [make = std::move(program.make_runtime)](Enclave* enclave, RuntimeOptions options) {
    // An older agent of this enclave may have had other wishes.
    const absl::Status status = enclave->SetTunable("deliver_ticks", absl::GetFlag(FLAGS_ticks));
    if (!status.ok()) std::cerr << "agent_exp: --ticks is without effect: " << status.message() << std::endl;
    return make(enclave, std::move(options));
  };
  return program;
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  return ghost::RunAgentProgram(
      ghost::MakeProgram(
          {.name = "agent_exp",
           .summary = "schedules the threads of an enclave from one CPU: on the others the earliest deadline first, "
                      "higher quality of service before",
           .examples = {"agent_exp                              # every CPU of the kernel in use",
                        "agent_exp --ghost_cpus 0-3 --globalcpu 3",
                        "agent_exp --enclave enclave_1          # go on with an enclave that is there"},
           .notes = absl::StrCat(
               "threads:\n"
               "  Programs say in a PrioTable until when their threads' work is to be done; those of others run after\n"
               "  all deadlines, in the order in which they came.\n",
               ghost::AgentNotes("threads and CPUs",
                                 "while it runs: ghostctl set ENCLAVE preempt_earlier_deadline=false\n"))}),
      argc, argv);
}
