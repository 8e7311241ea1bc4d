#include "lib/program/centralized_main.h"

#include <cstdint>
#include <iostream>
#include <memory>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "lib/base/cpu_set.h"
#include "lib/base/status.h"
#include "lib/bpf/pnt.h"
#include "lib/topology.h"

ABSL_FLAG(int32_t, globalcpu, -1,
          "The CPU on which the global agent starts, which runs no threads; -1: the first of those to schedule.");
ABSL_FLAG(bool, pnt, false,
          "CPUs that would idle take waiting threads by themselves, by a BPF program, while the global agent is busy.");

namespace ghost {
namespace {

absl::Status CheckCpus(const CpuSet& cpus) {
  if (cpus.empty()) return absl::OkStatus();  // the enclave's, which the runtime checks
  if (cpus.size() < 2) {
    return WithHint(absl::InvalidArgumentError(absl::StrCat("--ghost_cpus: one CPU (", ToCpuList(cpus),
                                                            ") is not enough: the global agent needs its own")),
                    "give it at least two, as --ghost_cpus 0-1");
  }
  const int global_cpu = absl::GetFlag(FLAGS_globalcpu);
  if (global_cpu == -1 || cpus.Contains(global_cpu)) return absl::OkStatus();
  return WithHint(absl::InvalidArgumentError(absl::StrCat("--globalcpu: ", global_cpu,
                                                          " is not among the CPUs to schedule, ", ToCpuList(cpus))),
                  absl::StrCat("one of them, or -1 for the first"));
}

}  // namespace

void SetCentralizedOptions(RuntimeOptions* options) {
  options->global_cpu = absl::GetFlag(FLAGS_globalcpu);
  if (absl::GetFlag(FLAGS_pnt)) options->pnt = std::make_shared<BpfPntPrograms>();
}

void MakeCentralized(AgentProgram* program) {
  program->farewell = "Done!";
  program->before_start = [](const Topology& topology, const CpuSet& cpus) {
    GHOST_RETURN_IF_ERROR(CheckCpus(cpus));
    std::cout << topology.ToString() << std::flush;
    return absl::OkStatus();
  };
}

absl::StatusOr<int64_t> SliceFromFlag(const std::string& flag, absl::Duration value) {
  if (value == absl::InfiniteDuration()) return INT64_MAX;
  const int64_t ns = absl::ToInt64Nanoseconds(value);
  if (ns > 0) return ns;
  return WithHint(
      absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", absl::FormatDuration(value), " is no time to run")),
      "a positive duration such as 50us, or inf");
}

}  // namespace ghost
