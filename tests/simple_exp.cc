// simple_exp: six small experiments (tests/simple_experiments.h) with threads that a ghost agent schedules.
#include <stdio.h>

#include <memory>

#include "lib/base/status.h"
#include "lib/cli.h"
#include "tests/simple_experiments.h"

namespace ghost {
namespace {

constexpr char kName[] = "simple_exp";

absl::Status Main() {
  GHOST_ASSIGN_OR_RETURN(const std::unique_ptr<SimpleExperiments> experiments,
                         SimpleExperiments::Create({.program = kName}));
  return experiments->RunAll();
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line = ghost::ParseCommandLine(
      {.name = ghost::kName,
       .summary = "six small experiments with threads that a running ghost agent schedules",
       .examples = {"fifo_per_cpu_agent --ghost_cpus 0-1 &",
                    "simple_exp                        # in the first enclave "
                    "that has an agent",
                    "simple_exp --enclave enclave_2 --scale 0.1"},
       .notes =
           "Exit code 0: every experiment did what it should. Without --enclave and $GHOST_ENCLAVE the first enclave\n"
           "with an agent is used.\n"},
      argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  setvbuf(stdout, nullptr, _IOLBF, 0);  // a line is seen when it is said, also by a file
  const absl::Status status = ghost::Main();
  return status.ok() ? 0 : ghost::Report(ghost::kName, status);
}
