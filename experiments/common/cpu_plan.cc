#include "experiments/common/cpu_plan.h"

#include <errno.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// First threads of cores before their siblings; the node with most of the CPUs first.
std::vector<int> InOrder(const Topology& topology, const CpuSet& cpus) {
  const auto rank = [&](int id) {
    const Topology::Cpu cpu = topology.cpu(id);
    const int beside = (topology.CpusOnNode(cpu.numa_node()) & cpus).size();
    return std::tuple(cpu.smt_index(), -beside, cpu.numa_node(), id);
  };
  std::vector<int> order = cpus.ToVector();
  std::sort(order.begin(), order.end(), [&](int a, int b) { return rank(a) < rank(b); });
  return order;
}

// Takes CPUs off a list.
class Supply {
 public:
  explicit Supply(std::vector<int> cpus) : cpus_(std::move(cpus)) {}

  int size() const { return static_cast<int>(cpus_.size()); }
  void Drop(int cpu) { cpus_.erase(std::remove(cpus_.begin(), cpus_.end(), cpu), cpus_.end()); }
  int First() const { return cpus_.front(); }
  int Take() {
    const int cpu = cpus_.front();
    cpus_.erase(cpus_.begin());
    return cpu;
  }
  const std::vector<int>& all() const { return cpus_; }

 private:
  std::vector<int> cpus_;
};

std::vector<int> InTurn(const std::vector<int>& cpus, int threads) {
  std::vector<int> turn;
  for (int i = 0; i < threads; ++i) turn.push_back(cpus[static_cast<size_t>(i) % cpus.size()]);
  return turn;
}

// The threads that the user has not placed: which get one from the supply, if it is enough.
struct Open {
  bool generator = false;
  bool dispatcher = false;
  bool workers = false;

  int front() const { return int{generator} + int{dispatcher}; }
};

void Place(const CpuNeeds& needs, const Open& open, Supply supply, CpuPlan* plan) {
  if (supply.size() >= open.front() + (open.workers ? 1 : 0)) {
    if (open.generator) plan->generators = {supply.Take()};
    if (open.dispatcher) plan->dispatchers = {supply.Take()};
  } else {
    // Too few for all: the front shares the first one, and leaves the others to the workers.
    const int shared = supply.First();
    if (supply.size() > 1) supply.Take();
    if (open.generator) plan->generators = {shared};
    if (open.dispatcher) plan->dispatchers = {shared};
  }
  if (open.workers) plan->workers = InTurn(supply.all(), needs.workers);
}

// Says who has a CPU that no other thread of ours, and no agent, has.
void FindOwners(const CpuSet& avoid, CpuPlan* plan) {
  std::array<int, CpuSet::kMaxCpus> users = {};
  const auto for_all = [](auto visit, const std::vector<int>& cpus) {
    for (int cpu : cpus) visit(cpu);
  };
  for (const auto* cpus : {&plan->generators, &plan->dispatchers, &plan->workers}) {
    for_all([&](int cpu) { users[std::max(cpu, 0)] += cpu == CpuPlan::kAnyCpu ? 2 : 1; }, *cpus);
  }
  const auto own = [&](const std::vector<int>& cpus) {
    return std::all_of(cpus.begin(), cpus.end(),
                       [&](int cpu) { return cpu != CpuPlan::kAnyCpu && users[cpu] == 1 && !avoid.Contains(cpu); });
  };
  plan->front_owns_cpus = own(plan->generators) && own(plan->dispatchers);
  plan->workers_own_cpus = own(plan->workers);
}

std::string Describe(const std::vector<int>& cpus) {
  CpuSet set;
  for (int cpu : cpus) {
    if (cpu == CpuPlan::kAnyCpu) return "any";
    set.Add(cpu);
  }
  return ToCpuList(set);
}

}  // namespace

CpuPlan PlanCpus(const Topology& topology, const CpuSet& usable, const CpuNeeds& needs) {
  const Open open = {.generator = needs.generator_cpus.empty(),
                     .dispatcher = needs.dispatcher && needs.dispatcher_cpus.empty(),
                     .workers = needs.workers > 0 && needs.worker_cpus.empty()};
  CpuPlan plan = {.generators = needs.generator_cpus.ToVector(), .dispatchers = needs.dispatcher_cpus.ToVector()};
  if (needs.workers > 0 && !open.workers) plan.workers = InTurn(needs.worker_cpus.ToVector(), needs.workers);

  const CpuSet taken = needs.generator_cpus | needs.dispatcher_cpus | needs.worker_cpus;
  Supply supply(InOrder(topology, usable - needs.avoid - taken));
  const int wanted = open.front() + (open.workers ? needs.workers : 0);
  if (supply.size() > wanted) supply.Drop(usable.First());
  if (supply.size() > 0) {
    Place(needs, open, supply, &plan);
  } else if (needs.workers == 0) {
    // All CPUs are an agent's: wherever it leaves one.
    if (open.generator) plan.generators = {CpuPlan::kAnyCpu};
    if (open.dispatcher) plan.dispatchers = {CpuPlan::kAnyCpu};
  } else {
    Place(needs, open, Supply(InOrder(topology, usable)), &plan);
  }
  FindOwners(needs.avoid, &plan);
  return plan;
}

std::string CpuPlan::ToString() const {
  std::string text = absl::StrCat("generators ", Describe(generators));
  if (!dispatchers.empty()) absl::StrAppend(&text, ", dispatchers ", Describe(dispatchers));
  if (!workers.empty()) absl::StrAppend(&text, ", workers ", Describe(workers));
  return text;
}

absl::StatusOr<CpuSet> UsableCpus() {
  cpu_set_t own;
  if (sched_getaffinity(0, sizeof(own), &own) != 0) return ErrnoStatus(errno, "reading this process's CPUs");
  return CpuSet::FromCpuSetT(own);
}

absl::StatusOr<CpuSet> ParseCpuFlag(const Topology& topology, const CpuSet& usable, absl::string_view flag,
                                    absl::string_view list) {
  if (list.empty()) return CpuSet();
  absl::StatusOr<CpuSet> cpus = topology.ParseCpus(list);
  if (!cpus.ok()) {
    return WithHint(absl::InvalidArgumentError(absl::StrCat(flag, " ", list, ": ", cpus.status().message())),
                    HintOf(cpus.status()));
  }
  if (cpus->IsSubsetOf(usable)) return cpus;
  return WithHint(absl::InvalidArgumentError(
                      absl::StrCat(flag, " ", list, ": this process may not use CPU ", (*cpus - usable).First())),
                  absl::StrCat("its affinity or its cgroup leaves it CPUs ", ToCpuList(usable)));
}

absl::Status PinTo(int cpu, pid_t tid) {
  if (cpu == CpuPlan::kAnyCpu) return absl::OkStatus();
  const cpu_set_t mask = CpuSet({cpu}).ToCpuSetT();
  if (sched_setaffinity(tid, sizeof(mask), &mask) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("pinning a thread to CPU ", cpu));
}

}  // namespace ghost
