#include "schedulers/biff/biff_runtime.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "third_party/bpf/biff_objects.h"

namespace ghost {

BiffRuntime::BiffRuntime(Enclave* enclave, RuntimeOptions options, absl::Duration slice)
    : BpfStateRuntime(enclave, std::move(options), "biff", BiffObjects()), slice_(slice) {}

void BiffRuntime::WriteConfig(biff* state) { state->slice_ns = Nanoseconds(slice_); }

void BiffRuntime::CountOwn(const biff& state, int cpu, RuntimeCounters* counters) const {
  counters->runnable += Read(state.lists[BIFF_LOCAL_LIST(cpu)].count) + (Read(state.cpus[cpu].current) != 0 ? 1 : 0);
  if (cpu != cpus().First()) return;
  counters->moved += Read(state.counters.moved);
  for (int list : {BIFF_GLOBAL_LIST, BIFF_PARKED_LIST}) counters->runnable += Read(state.lists[list].count);
}

int64_t BiffRuntime::TasksNow(const biff& state) const { return Read(state.tasks_now); }

void BiffRuntime::DescribeCpu(int, std::string* text) {
  const biff_counters& counted = state()->counters;
  absl::StrAppendFormat(text,
                        "biff: %d tasks, %d in the FIFO, %d that no CPU may run; picks %d, slices %d, elsewhere %d, "
                        "moved %d, stale %d, requeued %d\n",
                        Read(state()->tasks_now), Read(state()->lists[BIFF_GLOBAL_LIST].count),
                        Read(state()->lists[BIFF_PARKED_LIST].count), Read(counted.picks), Read(counted.slices),
                        Read(counted.elsewhere), Read(counted.moved), Read(counted.stale), Read(counted.requeued));
  for (int cpu : cpus()) {
    const biff_cpu& its = state()->cpus[cpu];
    const uint32_t current = Read(its.current);
    const int64_t gtid = current == 0 ? 0 : state()->tasks[(current - 1) % BIFF_MAX_TASKS].gtid;
    absl::StrAppendFormat(text, "cpu %d: gtid %d, %d in its list, picks %d\n", cpu, gtid,
                          Read(state()->lists[BIFF_LOCAL_LIST(cpu)].count), Read(its.picks));
  }
}

}  // namespace ghost
