#include "schedulers/cfs_bpf/cfs_bpf_runtime.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "schedulers/cfs/nice_weight.h"
#include "third_party/bpf/cfs_bpf_objects.h"

namespace ghost {

static_assert(kNiceWeights.size() == CFS_BPF_NICE_VALUES && kNice0Weight == CFS_BPF_NICE_0_WEIGHT);

CfsBpfRuntime::CfsBpfRuntime(Enclave* enclave, RuntimeOptions options, const CfsPolicy::Options& cfs)
    : BpfStateRuntime(enclave, std::move(options), "cfs_bpf", CfsBpfObjects()), cfs_(cfs) {}

void CfsBpfRuntime::WriteConfig(cfs_bpf* state) {
  state->latency_ns = Nanoseconds(cfs_.latency);
  state->min_granularity_ns = Nanoseconds(cfs_.min_granularity);
  state->wakeup_granularity_ns = Nanoseconds(cfs_.wakeup_granularity);
  state->balance_ns = Nanoseconds(cfs_.latency);
  state->idle_balancing = cfs_.idle_load_balancing;
  for (size_t i = 0; i < kNiceWeights.size(); ++i) state->weights[i] = static_cast<uint32_t>(kNiceWeights[i]);
}

void CfsBpfRuntime::CountOwn(const cfs_bpf& state, int cpu, RuntimeCounters* counters) const {
  const cfs_bpf_cpu& its = state.cpus[cpu];
  counters->runnable = Read(its.count) + (Read(its.current) != 0 ? 1 : 0);
  if (cpu != cpus().First()) return;
  counters->moved += Read(state.counters.pulled_idle) + Read(state.counters.pulled_busy);
}

int64_t CfsBpfRuntime::TasksNow(const cfs_bpf& state) const { return Read(state.tasks_now); }

void CfsBpfRuntime::DescribeCpu(int, std::string* text) {
  const cfs_bpf_counters& counted = state()->counters;
  absl::StrAppendFormat(text,
                        "cfs_bpf: %d tasks; picks %d, slices %d, challenges %d, placed on idle CPUs %d, taken over by "
                        "idle CPUs %d, by busy ones %d, elsewhere %d, nowhere %d, stale %d, requeued %d\n",
                        Read(state()->tasks_now), Read(counted.picks), Read(counted.slices), Read(counted.challenges),
                        Read(counted.placed_idle), Read(counted.pulled_idle), Read(counted.pulled_busy),
                        Read(counted.elsewhere), Read(counted.nowhere), Read(counted.stale), Read(counted.requeued));
  for (int cpu : cpus()) {
    const cfs_bpf_cpu& its = state()->cpus[cpu];
    const uint32_t current = Read(its.current);
    const int64_t gtid = current == 0 ? 0 : Read(state()->tasks[(current - 1) % CFS_BPF_MAX_TASKS].gtid);
    absl::StrAppendFormat(text, "cpu %d: gtid %d, %d wait with weight %d, min_vruntime %d, picks %d\n", cpu, gtid,
                          Read(its.count), Read(its.weight), Read(its.min_vruntime), Read(its.picks));
  }
}

}  // namespace ghost
