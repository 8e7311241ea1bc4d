#include "util/ghostsim_policies.h"

#include "kernel/usermode/sim/biff_twin.h"
#include "kernel/usermode/sim/cfs_bpf_twin.h"
#include "kernel/usermode/sim/flux_twin.h"
#include "kernel/usermode/sim/twin_scheduler.h"
#include "schedulers/cfs/cfs_policy.h"
#include "schedulers/edf/edf_policy.h"
#include "schedulers/examples/weighted_rr/weighted_rr_policy.h"
#include "schedulers/fifo/centralized/fifo_policy.h"
#include "schedulers/fifo/per_cpu/fifo_policy.h"
#include "schedulers/shinjuku/shinjuku_policy.h"
#include "schedulers/sol/sol_policy.h"

namespace ghost::sim {
namespace {

const PolicyEntry kPolicies[] = {
    {"biff", "one FIFO for all CPUs, in BPF", TwinScheduler<BiffTwin>::Make},
    {"cfs", "fair shares of each CPU by nice values", PerCpuScheduler<CfsPolicy>::Make},
    {"cfs_bpf", "the same, in BPF: slices end at ticks", TwinScheduler<CfsBpfTwin>::Make},
    {"edf", "the earliest deadline first, within each quality of service", CentralizedScheduler<EdfPolicy>::Make,
     /*pnt=*/true},
    {"fifo_centralized", "one FIFO for all CPUs; slices with --set", CentralizedScheduler<CentralizedFifoPolicy>::Make,
     /*pnt=*/true},
    {"fifo_per_cpu", "a FIFO per CPU, each task until it blocks", PerCpuScheduler<FifoPolicy>::Make},
    {"flux", "a tree of schedulers in BPF: roci(biff, idle)", TwinScheduler<FluxTwin>::Make},
    {"shinjuku", "slices of microseconds, within each quality of service", CentralizedScheduler<ShinjukuPolicy>::Make,
     /*pnt=*/true},
    {"sol", "as fifo_centralized, and does not wait for its commits", CentralizedScheduler<SolPolicy>::Make,
     /*pnt=*/true},
    {"weighted_rr", "in turn on each CPU, each for its weight", PerCpuScheduler<WeightedRrPolicy>::Make},
};

}  // namespace

std::span<const PolicyEntry> SimPolicies() { return kPolicies; }

const PolicyEntry* FindSimPolicy(absl::string_view name) {
  for (const PolicyEntry& policy : kPolicies) {
    if (name == policy.name) return &policy;
  }
  return nullptr;
}

}  // namespace ghost::sim
