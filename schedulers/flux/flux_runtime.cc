#include "schedulers/flux/flux_runtime.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "third_party/bpf/flux_objects.h"

namespace ghost {

FluxRuntime::FluxRuntime(Enclave* enclave, RuntimeOptions options, Config config)
    : BpfStateRuntime(enclave, std::move(options), "flux", FluxObjects()), config_(std::move(config)) {}

void FluxRuntime::WriteConfig(flux* state) {
  state->slice_ns = Nanoseconds(config_.slice);
  config_.tree.Store(state);
}

void FluxRuntime::CountOwn(const flux& state, int cpu, RuntimeCounters* counters) const {
  const flux_sched& root = state.scheds[FLUX_ROOT];
  counters->runnable += Read(root.pinned[cpu]) + (Read(state.cpus[cpu].current) != 0 ? 1 : 0);
  if (cpu == cpus().First()) counters->runnable += Read(root.waiting);
}

int64_t FluxRuntime::TasksNow(const flux& state) const { return Read(state.threads_now); }

void FluxRuntime::DescribeCpu(int, std::string* text) {
  const flux_counters& counted = state()->counters;
  uint64_t picks = 0;
  for (int cpu : cpus()) picks += Read(state()->cpus[cpu].picks);
  absl::StrAppendFormat(text, "flux: %d threads; picks %d, elsewhere %d, stale %d, requeued %d, moved %d\n",
                        Read(state()->threads_now), picks, Read(counted.elsewhere), Read(counted.stale),
                        Read(counted.requeued), Read(counted.moved));
  for (int number = 1; number <= config_.tree.size(); ++number) {
    const flux_sched& its = state()->scheds[number];
    const flux_sched_counters& of = its.counters;
    absl::StrAppendFormat(text,
                          "%s: %d CPUs, %d threads, %d waiting; picks %d, slices %d, granted %d, yielded %d, taken %d, "
                          "joined %d, left %d\n",
                          config_.tree.PathOf(number), Read(its.nr_cpus), Read(its.threads), Read(its.waiting),
                          Read(of.picks), Read(of.slices), Read(of.granted), Read(of.yielded), Read(of.taken),
                          Read(of.joined), Read(of.left));
  }
  for (int cpu : cpus()) {
    const flux_cpu& its = state()->cpus[cpu];
    const uint32_t current = Read(its.current);
    const uint32_t at = Read(its.at);
    const int64_t gtid = current == 0 ? 0 : state()->threads[(current - 1) % FLUX_MAX_THREADS].gtid;
    const bool known = at != 0 && at <= static_cast<uint32_t>(config_.tree.size());
    absl::StrAppendFormat(text, "cpu %d: at %s, gtid %d, %d wait for it, picks %d\n", cpu,
                          known ? config_.tree.PathOf(static_cast<int>(at)) : "nobody", gtid,
                          Read(state()->scheds[FLUX_ROOT].pinned[cpu]), Read(its.picks));
  }
}

}  // namespace ghost
