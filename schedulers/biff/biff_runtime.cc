#include "schedulers/biff/biff_runtime.h"

#include <atomic>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "third_party/bpf/biff_objects.h"

namespace ghost {
namespace {

uint64_t Read(const __u64& counter) {
  return std::atomic_ref<__u64>(const_cast<__u64&>(counter)).load(std::memory_order_relaxed);
}
uint32_t Read(const __u32& value) {
  return std::atomic_ref<__u32>(const_cast<__u32&>(value)).load(std::memory_order_relaxed);
}

}  // namespace

BiffRuntime::BiffRuntime(Enclave* enclave, RuntimeOptions options, absl::Duration slice)
    : BpfRuntime(enclave, std::move(options), "biff", BiffObjects()), slice_(slice) {}

absl::Status BiffRuntime::Configure(BpfPrograms& programs) {
  state_ = programs.Global<biff>();
  if (state_ == nullptr) return absl::InternalError("biff's programs have another state than this agent");
  if (cpus().Last() >= BIFF_MAX_CPUS) {
    return absl::InvalidArgumentError(absl::StrCat("biff knows CPUs up to ", BIFF_MAX_CPUS - 1));
  }
  state_->slice_ns = static_cast<uint64_t>(absl::ToInt64Nanoseconds(slice_));
  for (int cpu : cpus()) state_->cpu_mask[cpu / 64] |= uint64_t{1} << (cpu % 64);
  return absl::OkStatus();
}

absl::Status BiffRuntime::SetTunables() { return enclave()->SetTunable("deliver_ticks", true); }

void BiffRuntime::StartScheduling() { std::atomic_ref<__u32>(state_->initialized).store(1, std::memory_order_release); }

// What programs count for all CPUs stands with the first.
RuntimeCounters BiffRuntime::Counters(int cpu) const {
  RuntimeCounters result = BpfRuntime::Counters(cpu);
  if (state_ == nullptr || !cpus().Contains(cpu)) return result;
  result.placed = Read(state_->cpus[cpu].picks);
  if (cpu != cpus().First()) return result;
  const biff_counters& counted = state_->counters;
  result.preempted = Read(counted.preempted);
  result.blocked = Read(counted.blocked);
  result.yielded = Read(counted.yielded);
  result.woken = Read(counted.woken);
  result.moved = Read(counted.elsewhere);
  result.deferred = Read(counted.requeued) + Read(counted.stale);
  result.unknown_tasks = Read(counted.unknown) + Read(counted.no_room);
  result.tasks = Read(state_->tasks_now);
  for (int id : cpus()) {
    result.runnable += Read(state_->lists[BIFF_LOCAL_LIST(id)].count) + (Read(state_->cpus[id].current) != 0 ? 1 : 0);
  }
  result.runnable += Read(state_->lists[BIFF_GLOBAL_LIST].count);
  return result;
}

int64_t BiffRuntime::CountTasks() const { return state_ == nullptr ? 0 : Read(state_->tasks_now); }

void BiffRuntime::DescribeCpu(int, std::string* text) {
  const biff_counters& counted = state_->counters;
  absl::StrAppendFormat(text,
                        "biff: %d tasks, %d in the FIFO; picks %d, slices %d, elsewhere %d, stale %d, requeued %d\n",
                        Read(state_->tasks_now), Read(state_->lists[BIFF_GLOBAL_LIST].count), Read(counted.picks),
                        Read(counted.slices), Read(counted.elsewhere), Read(counted.stale), Read(counted.requeued));
  for (int cpu : cpus()) {
    const biff_cpu& its = state_->cpus[cpu];
    const uint32_t current = Read(its.current);
    const int64_t gtid = current == 0 ? 0 : state_->tasks[(current - 1) % BIFF_MAX_TASKS].gtid;
    absl::StrAppendFormat(text, "cpu %d: gtid %d, %d in its list, picks %d\n", cpu, gtid,
                          Read(state_->lists[BIFF_LOCAL_LIST(cpu)].count), Read(its.picks));
  }
}

}  // namespace ghost
