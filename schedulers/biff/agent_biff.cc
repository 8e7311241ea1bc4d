// agent_biff: a global FIFO in BPF, as an agent program.
#include <memory>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/status.h"
#include "lib/program/agent_main.h"
#include "schedulers/biff/biff_runtime.h"

ABSL_FLAG(absl::Duration, slice, absl::Milliseconds(50), "How long a thread runs while others wait, such as 50ms.");

namespace {

absl::Status CheckFlags() {
  const absl::Duration slice = absl::GetFlag(FLAGS_slice);
  if (slice > absl::ZeroDuration()) return absl::OkStatus();
  return ghost::WithHint(
      absl::InvalidArgumentError(absl::StrCat("--slice ", absl::FormatDuration(slice), ": not a time")),
      "give a duration, such as 50ms, or inf");
}

}  // namespace

int main(int argc, char** argv) {
  ghost::AgentProgram program;
  program.info = {.name = "agent_biff",
                  .summary =
                      "schedules the threads of an enclave in the order in which they came, on all of its CPUs, "
                      "by BPF programs in the kernel",
                  .examples = {"agent_biff                      # every CPU of the kernel in use",
                               "agent_biff --ghost_cpus 0-1 --slice 10ms",
                               "agent_biff --enclave enclave_1  # go on with an enclave that is there"},
                  .notes = ghost::AgentNotes("threads and CPUs")};
  program.check_flags = CheckFlags;
  program.make_runtime = [](ghost::Enclave* enclave, ghost::RuntimeOptions options) {
    return std::make_unique<ghost::BiffRuntime>(enclave, std::move(options), absl::GetFlag(FLAGS_slice));
  };
  return ghost::RunAgentProgram(program, argc, argv);
}
