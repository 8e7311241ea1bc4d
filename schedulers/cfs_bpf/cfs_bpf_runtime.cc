#include "schedulers/cfs_bpf/cfs_bpf_runtime.h"

#include <atomic>
#include <cstdint>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "schedulers/cfs/nice_weight.h"
#include "third_party/bpf/cfs_bpf_objects.h"

namespace ghost {
namespace {

static_assert(kNiceWeights.size() == CFS_BPF_NICE_VALUES && kNice0Weight == CFS_BPF_NICE_0_WEIGHT);

template <typename T>
T Read(const T& value) {
  return std::atomic_ref<T>(const_cast<T&>(value)).load(std::memory_order_relaxed);
}

uint64_t Nanoseconds(absl::Duration duration) { return static_cast<uint64_t>(absl::ToInt64Nanoseconds(duration)); }

}  // namespace

CfsBpfRuntime::CfsBpfRuntime(Enclave* enclave, RuntimeOptions options, const CfsPolicy::Options& cfs)
    : BpfRuntime(enclave, std::move(options), "cfs_bpf", CfsBpfObjects()), cfs_(cfs) {}

absl::Status CfsBpfRuntime::Configure(BpfPrograms& programs) {
  state_ = programs.Global<cfs_bpf>();
  if (state_ == nullptr) return absl::InternalError("cfs_bpf's programs have another state than this agent");
  if (cpus().Last() >= CFS_BPF_MAX_CPUS) {
    return absl::InvalidArgumentError(absl::StrCat("cfs_bpf knows CPUs up to ", CFS_BPF_MAX_CPUS - 1));
  }
  state_->latency_ns = Nanoseconds(cfs_.latency);
  state_->min_granularity_ns = Nanoseconds(cfs_.min_granularity);
  state_->wakeup_granularity_ns = Nanoseconds(cfs_.wakeup_granularity);
  state_->balance_ns = Nanoseconds(cfs_.latency);
  state_->idle_balancing = cfs_.idle_load_balancing;
  for (size_t i = 0; i < kNiceWeights.size(); ++i) state_->weights[i] = static_cast<uint32_t>(kNiceWeights[i]);
  for (int cpu : cpus()) state_->cpu_mask[cpu / 64] |= uint64_t{1} << (cpu % 64);
  return absl::OkStatus();
}

absl::Status CfsBpfRuntime::SetTunables() { return enclave()->SetTunable("deliver_ticks", true); }

void CfsBpfRuntime::StartScheduling() {
  std::atomic_ref<__u32>(state_->initialized).store(1, std::memory_order_release);
}

// What programs count for all CPUs stands with the first.
RuntimeCounters CfsBpfRuntime::Counters(int cpu) const {
  RuntimeCounters result = BpfRuntime::Counters(cpu);
  if (state_ == nullptr || !cpus().Contains(cpu)) return result;
  const cfs_bpf_cpu& its = state_->cpus[cpu];
  result.placed = Read(its.picks);
  result.runnable = Read(its.count) + (Read(its.current) != 0 ? 1 : 0);
  if (cpu != cpus().First()) return result;
  const cfs_bpf_counters& counted = state_->counters;
  result.preempted = Read(counted.preempted);
  result.blocked = Read(counted.blocked);
  result.yielded = Read(counted.yielded);
  result.woken = Read(counted.woken);
  result.moved = Read(counted.pulled_idle) + Read(counted.pulled_busy) + Read(counted.elsewhere);
  result.deferred = Read(counted.requeued) + Read(counted.stale);
  result.unknown_tasks = Read(counted.unknown) + Read(counted.no_room);
  result.tasks = Read(state_->tasks_now);
  return result;
}

int64_t CfsBpfRuntime::CountTasks() const { return state_ == nullptr ? 0 : Read(state_->tasks_now); }

void CfsBpfRuntime::DescribeCpu(int, std::string* text) {
  const cfs_bpf_counters& counted = state_->counters;
  absl::StrAppendFormat(text,
                        "cfs_bpf: %d tasks; picks %d, slices %d, challenges %d, placed on idle CPUs %d, taken over by "
                        "idle CPUs %d, by busy ones %d, elsewhere %d, nowhere %d, stale %d, requeued %d\n",
                        Read(state_->tasks_now), Read(counted.picks), Read(counted.slices), Read(counted.challenges),
                        Read(counted.placed_idle), Read(counted.pulled_idle), Read(counted.pulled_busy),
                        Read(counted.elsewhere), Read(counted.nowhere), Read(counted.stale), Read(counted.requeued));
  for (int cpu : cpus()) {
    const cfs_bpf_cpu& its = state_->cpus[cpu];
    const uint32_t current = Read(its.current);
    const int64_t gtid = current == 0 ? 0 : Read(state_->tasks[(current - 1) % CFS_BPF_MAX_TASKS].gtid);
    absl::StrAppendFormat(text, "cpu %d: gtid %d, %d wait with weight %d, min_vruntime %d, picks %d\n", cpu, gtid,
                          Read(its.count), Read(its.weight), Read(its.min_vruntime), Read(its.picks));
  }
}

}  // namespace ghost
