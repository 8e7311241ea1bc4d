#include "schedulers/flux/flux_runtime.h"

#include <atomic>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "third_party/bpf/flux_objects.h"

namespace ghost {
namespace {

uint64_t Read(const __u64& counter) {
  return std::atomic_ref<__u64>(const_cast<__u64&>(counter)).load(std::memory_order_relaxed);
}
uint32_t Read(const __u32& value) {
  return std::atomic_ref<__u32>(const_cast<__u32&>(value)).load(std::memory_order_relaxed);
}

}  // namespace

FluxRuntime::FluxRuntime(Enclave* enclave, RuntimeOptions options, Config config)
    : BpfRuntime(enclave, std::move(options), "flux", FluxObjects()), config_(std::move(config)) {}

absl::Status FluxRuntime::Configure(BpfPrograms& programs) {
  state_ = programs.Global<flux>();
  if (state_ == nullptr) return absl::InternalError("flux's programs have another state than this agent");
  if (cpus().Last() >= FLUX_MAX_CPUS) {
    return absl::InvalidArgumentError(absl::StrCat("flux knows CPUs up to ", FLUX_MAX_CPUS - 1));
  }
  state_->slice_ns = static_cast<uint64_t>(absl::ToInt64Nanoseconds(config_.slice));
  for (int cpu : cpus()) state_->cpu_mask[cpu / 64] |= uint64_t{1} << (cpu % 64);
  config_.tree.Store(state_);
  return absl::OkStatus();
}

absl::Status FluxRuntime::SetTunables() { return enclave()->SetTunable("deliver_ticks", true); }

void FluxRuntime::StartScheduling() { std::atomic_ref<__u32>(state_->initialized).store(1, std::memory_order_release); }

// What programs count for all CPUs stands with the first.
RuntimeCounters FluxRuntime::Counters(int cpu) const {
  RuntimeCounters result = BpfRuntime::Counters(cpu);
  if (state_ == nullptr || !cpus().Contains(cpu)) return result;
  result.placed = Read(state_->cpus[cpu].picks);
  if (cpu != cpus().First()) return result;
  const flux_counters& counted = state_->counters;
  result.preempted = Read(counted.preempted);
  result.blocked = Read(counted.blocked);
  result.yielded = Read(counted.yielded);
  result.woken = Read(counted.woken);
  result.moved = Read(counted.elsewhere);
  result.deferred = Read(counted.requeued) + Read(counted.stale);
  result.unknown_tasks = Read(counted.unknown) + Read(counted.no_room);
  result.tasks = Read(state_->threads_now);
  const flux_sched& root = state_->scheds[FLUX_ROOT];
  for (int id : cpus()) result.runnable += Read(root.pinned[id]) + (Read(state_->cpus[id].current) != 0 ? 1 : 0);
  result.runnable += Read(root.waiting);
  return result;
}

int64_t FluxRuntime::CountTasks() const { return state_ == nullptr ? 0 : Read(state_->threads_now); }

void FluxRuntime::DescribeCpu(int, std::string* text) {
  const flux_counters& counted = state_->counters;
  uint64_t picks = 0;
  for (int cpu : cpus()) picks += Read(state_->cpus[cpu].picks);
  absl::StrAppendFormat(text, "flux: %d threads; picks %d, elsewhere %d, stale %d, requeued %d, moved %d\n",
                        Read(state_->threads_now), picks, Read(counted.elsewhere), Read(counted.stale),
                        Read(counted.requeued), Read(counted.moved));
  for (int number = 1; number <= config_.tree.size(); ++number) {
    const flux_sched& its = state_->scheds[number];
    const flux_sched_counters& of = its.counters;
    absl::StrAppendFormat(text,
                          "%s: %d CPUs, %d threads, %d waiting; picks %d, slices %d, granted %d, yielded %d, taken %d, "
                          "joined %d, left %d\n",
                          config_.tree.PathOf(number), Read(its.nr_cpus), Read(its.threads), Read(its.waiting),
                          Read(of.picks), Read(of.slices), Read(of.granted), Read(of.yielded), Read(of.taken),
                          Read(of.joined), Read(of.left));
  }
  for (int cpu : cpus()) {
    const flux_cpu& its = state_->cpus[cpu];
    const uint32_t current = Read(its.current);
    const uint32_t at = Read(its.at);
    const int64_t gtid = current == 0 ? 0 : state_->threads[(current - 1) % FLUX_MAX_THREADS].gtid;
    const bool known = at != 0 && at <= static_cast<uint32_t>(config_.tree.size());
    absl::StrAppendFormat(text, "cpu %d: at %s, gtid %d, %d wait for it, picks %d\n", cpu,
                          known ? config_.tree.PathOf(static_cast<int>(at)) : "nobody", gtid,
                          Read(state_->scheds[FLUX_ROOT].pinned[cpu]), Read(its.picks));
  }
}

}  // namespace ghost
