// What walking over 256 CPUs costs. See lib/base/testing/measure.h.
#include <sched.h>

#include <vector>

#include "benchmark/benchmark.h"
#include "lib/base/cpu_set.h"
#include "lib/base/testing/measure.h"
#include "lib/topology.h"

namespace ghost {
namespace {

constexpr int kCpus = 256;

// 256 CPUs, two of each core: siblings are n and n + 128.
Topology TwoWay() {
  std::vector<Topology::Record> records;
  for (int cpu = 0; cpu < kCpus; ++cpu) {
    const int first = cpu % (kCpus / 2);
    records.push_back({.cpu = cpu, .siblings = {first, first + kCpus / 2}});
  }
  return *Topology::Custom(records);
}

void Visit(const CpuSet& cpus) {
  for (int cpu : cpus) asm volatile("" : : "r"(cpu));
}

void BM_IterateCpus(benchmark::State& state) {
  const CpuSet cpus = CpuSet::FirstN(kCpus);
  Measure(
      state, [] {}, [&cpus] { return Visit(cpus), int64_t{1}; });
}
BENCHMARK(BM_IterateCpus)->Apply(Measured);

// Of the lowest CPU of each core.
void BM_AllCores(benchmark::State& state) {
  const Topology topology = TwoWay();
  Measure(
      state, [] {}, [&topology] { return Visit(topology.all_cores()), int64_t{1}; });
}
BENCHMARK(BM_AllCores)->Apply(Measured);

void BM_ToCpuSetT(benchmark::State& state) {
  const CpuSet cpus = CpuSet::FirstN(kCpus);
  cpu_set_t result;
  Measure(
      state, [] {},
      [&cpus, &result] {
        result = cpus.ToCpuSetT();
        benchmark::DoNotOptimize(result);
        return int64_t{1};
      });
}
BENCHMARK(BM_ToCpuSetT)->Apply(Measured);

void BM_ToVector(benchmark::State& state) {
  const CpuSet cpus = CpuSet::FirstN(kCpus);
  std::vector<int> result;
  Measure(
      state, [] {},
      [&cpus, &result] {
        result = cpus.ToVector();
        benchmark::DoNotOptimize(result.data());
        return int64_t{1};
      });
}
BENCHMARK(BM_ToVector)->Apply(Measured);

}  // namespace
}  // namespace ghost
