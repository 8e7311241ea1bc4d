// cfs_bpf's BPF programs once more, in C++: what a simulation runs where ghostd runs third_party/bpf/cfs_bpf.bpf.c.
//
// What it is: the same decisions in the same order, over the containers of the standard library. tests/bpf holds the
// two against each other on random events; keep them alike. What it is not: fast. One thread.
#ifndef GHOST_KERNEL_USERMODE_SIM_CFS_BPF_TWIN_H_
#define GHOST_KERNEL_USERMODE_SIM_CFS_BPF_TWIN_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/sim/scheduler_twin.h"
#include "lib/base/cpu_set.h"
#include "lib/tunable.h"

namespace ghost::sim {

class CfsBpfTwin final : public SchedulerTwin {
 public:
  struct Options {
    CpuSet cpus;  // the enclave's
    int64_t latency_ns = 10'000'000;
    int64_t min_granularity_ns = 1'000'000;
    int64_t wakeup_granularity_ns = 1'000'000;
    std::function<int64_t()> now_ns;
    // A task's own CPUs; nullopt: it is not known.
    std::function<std::optional<CpuSet>(int64_t gtid)> affinity;
  };
  explicit CfsBpfTwin(Options options);

  std::vector<Tunable*> Tunables() { return {&latency_, &min_granularity_, &wakeup_granularity_, &idle_balancing_}; }
  uint64_t picks() const { return picks_; }
  size_t tasks() const { return tasks_.size(); }
  int64_t waiting(int cpu) { return Waiting(cpus_[cpu]); }
  int64_t min_vruntime(int cpu) { return cpus_[cpu].min_vruntime; }

 private:
  enum class Comes { kNew, kWoken, kYielded, kBack };
  enum class Affinity { kNotAsked, kAnywhere, kSomeCpus };
  enum class Outcome { kGoOn, kRuns, kWaits };
  struct Task {
    int64_t gtid = 0;
    int64_t vruntime = 0;
    uint64_t order = 0;  // among equals
    uint64_t charged_ns = 0;
    uint32_t barrier = 0;
    uint32_t weight = 0;
    int cpu = -1;   // where it is latched or runs
    int home = -1;  // by whose min_vruntime it counts
    bool runnable = false;
    bool queued = false;
    Affinity affinity = Affinity::kNotAsked;
    CpuSet allowed;
  };
  struct Earlier {
    bool operator()(const Task* a, const Task* b) const {
      return std::pair(a->vruntime, a->order) < std::pair(b->vruntime, b->order);
    }
  };
  using Queue = std::set<Task*, Earlier>;
  struct Cpu {
    Queue free, bound;
    Task* current = nullptr;
    int64_t weight = 0;
    int64_t min_vruntime = 0;
    int64_t rightmost = 0;
    int64_t since_ns = 0;
    int64_t balanced_ns = 0;
    bool kicked = false;
    int look_from = 0;
  };
  // What QueueUp found.
  struct Found {
    bool idle = false, must = false, look_again = false;
  };

  // -- cfs_bpf_queue.bpf.h --
  static Queue& QueueOf(Cpu& cpu, const Task& task) {
    return task.affinity == Affinity::kSomeCpus ? cpu.bound : cpu.free;
  }
  static Task* First(const Queue& queue) { return queue.empty() ? nullptr : *queue.begin(); }
  static Task* FirstOf(const Cpu& cpu);
  static int64_t Waiting(const Cpu& cpu) { return static_cast<int64_t>(cpu.free.size() + cpu.bound.size()); }
  static int64_t Load(const Cpu& cpu) { return Waiting(cpu) + (cpu.current != nullptr ? 1 : 0); }
  static int64_t WeightOn(const Cpu& cpu) {
    return cpu.weight + (cpu.current != nullptr ? int64_t{cpu.current->weight} : 0);
  }
  static int64_t VruntimeNow(const Cpu& cpu, int64_t now);
  static void Advance(Cpu& cpu, int64_t vruntime) { cpu.min_vruntime = std::max(cpu.min_vruntime, vruntime); }
  static void AdvanceToLeast(Cpu& cpu, int64_t vruntime);
  static void Charge(Task* task, uint64_t runtime_ns);
  void Join(Task* task, int cpu);
  void Quit(Task* task);
  void ForgetCpu(Task* task);
  int64_t Slice(int64_t weight, int64_t total, int64_t count) const;
  int64_t StartOf(const Cpu& cpu, int64_t weight, int64_t now) const;
  void Enter(Task* task, int cpu, Comes comes, int64_t now);
  bool Challenges(const Task& task, const Cpu& cpu, int64_t now) const;
  Found QueueUp(Task* task, int cpu, Comes comes, int64_t now, uint64_t went_idle);

  // -- cfs_bpf_place.bpf.h --
  static bool MayRun(const Task& task, int cpu) {
    return task.affinity != Affinity::kSomeCpus || task.allowed.Contains(cpu);
  }
  int BestFor(const Task& task, int from) const;
  int Choose(const Task& task, int last);
  void CallIdle(const Task& task, int cpu, usermode::BpfHelpers& helpers);
  void Place(Task* task, int last, Comes comes, usermode::BpfHelpers& helpers);
  int BusiestQueue(Queue Cpu::*which, int cpu, std::pair<int64_t, int>* below);
  Task* TakeOver(Queue Cpu::*which, int from, int cpu, bool idle);
  Task* Pull(int cpu, bool idle);

  // -- cfs_bpf.bpf.c --
  void PassOn(int cpu, usermode::BpfHelpers& helpers);
  void PickNextTask(bpf_ghost_sched* context, int cpu, usermode::BpfHelpers& helpers) override;
  Task* TakeFirst(int cpu);
  void AskAffinity(Task* task, int cpu);
  Outcome TryToRun(Task* task, int cpu, usermode::BpfHelpers& helpers);
  int32_t SelectRq(const bpf_ghost_select_rq& context) override;
  int32_t SendMessage(bpf_ghost_msg* message, int cpu, usermode::BpfHelpers& helpers) override;
  int32_t Arrive(const bpf_ghost_msg& message, int cpu, usermode::BpfHelpers& helpers);
  void BecomesRunnable(Task* task, const bpf_ghost_msg& message, uint64_t runtime_ns, int cpu, Comes comes,
                       usermode::BpfHelpers& helpers);
  void Note(Task* task, uint32_t barrier, bool runnable, uint64_t runtime_ns);
  void NoteWeight(Task* task, uint32_t barrier, uint32_t weight);
  void ChangeAffinity(Task* task, uint32_t barrier, usermode::BpfHelpers& helpers);
  void Leave(Task* task);
  void Tick(int cpu, usermode::BpfHelpers& helpers);

  const Options options_;
  Tunable latency_, min_granularity_, wakeup_granularity_, idle_balancing_;
  uint64_t joined_ = 0;
  uint64_t went_idle_ = 0;
  uint64_t picks_ = 0;
  std::map<int64_t, std::unique_ptr<Task>> tasks_;
  std::map<int, Cpu> cpus_;
  CpuSet idle_, taken_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_CFS_BPF_TWIN_H_
