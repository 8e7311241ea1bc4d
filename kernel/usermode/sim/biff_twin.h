// biff's BPF programs once more, in C++: what a simulation runs where ghostd runs third_party/bpf/biff.bpf.c.
//
// What it is: the same decisions in the same order, over the containers of the standard library. tests/bpf holds the
// two against each other on random events; keep them alike. What it is not: fast. One thread.
#ifndef GHOST_KERNEL_USERMODE_SIM_BIFF_TWIN_H_
#define GHOST_KERNEL_USERMODE_SIM_BIFF_TWIN_H_

#include <cstdint>
#include <functional>
#include <list>
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

class BiffTwin final : public SchedulerTwin {
 public:
  struct Options {
    CpuSet cpus;  // the enclave's
    int64_t slice_ns = 50'000'000;
    std::function<int64_t()> now_ns;
    // A task's own CPUs; nullopt: it is not known.
    std::function<std::optional<CpuSet>(int64_t gtid)> affinity;
  };
  explicit BiffTwin(Options options)
      : options_(std::move(options)),
        slice_("slice", "how long a task runs while others wait", Tunable::Unit::kNanoseconds, options_.slice_ns, 1,
               INT64_MAX) {}

  std::vector<Tunable*> Tunables() { return {&slice_}; }
  uint64_t picks() const { return picks_; }
  size_t tasks() const { return tasks_.size(); }
  size_t waiting() const { return waiting_; }

 private:
  static constexpr int kAnywhere = -1;  // a home: the global queue
  static constexpr int kNowhere = -2;   // … parked: it may run on no CPU of the enclave

  struct Task {
    int64_t gtid = 0;
    uint64_t order = 0;
    uint32_t barrier = 0;
    bool runnable = false;
    bool queued = false;
    int queue = kAnywhere;  // while queued: a home
    int cpu = -1;           // where it is latched or runs
    int home = kAnywhere;   // the CPU on whose queue it waits, as it may not run everywhere
  };
  struct Cpu {
    std::list<Task*> queue;
    Task* current = nullptr;
    int64_t since_ns = 0;
  };

  void PickNextTask(bpf_ghost_sched* context, int cpu, usermode::BpfHelpers& helpers) override;
  int32_t SendMessage(bpf_ghost_msg* message, int cpu, usermode::BpfHelpers& helpers) override;
  int32_t Arrive(const bpf_ghost_msg& message, usermode::BpfHelpers& helpers);
  void Leave(Task* task);
  void EndSlice(int cpu, usermode::BpfHelpers& helpers);
  bool CallHome(int home, usermode::BpfHelpers& helpers);
  void BecomesRunnable(Task* task, uint32_t barrier, int cpu, bool woken, usermode::BpfHelpers& helpers);
  void Note(Task* task, uint32_t barrier, bool runnable);
  void NoteBarrier(Task* task, uint32_t barrier, bool anew, usermode::BpfHelpers& helpers);

  std::list<Task*>& QueueOf(int home) {
    return home == kAnywhere ? global_ : home == kNowhere ? parked_ : cpus_[home].queue;
  }
  void LineUp(Task* task);
  void TakeOut(Task* task);
  void ForgetCpu(Task* task);
  Task* TakeFirst(int cpu);
  void GiveBack(Task* task, uint32_t barrier, bool always);
  void SendHome(Task* task, int cpu, usermode::BpfHelpers& helpers);
  int FindHome(int64_t gtid, int cpu);
  void MoveHome(Task* task, int home);
  void HandOn(int cpu, usermode::BpfHelpers& helpers);
  bool Pull(int cpu);
  bool WaitsFor(int cpu) { return !global_.empty() || !cpus_[cpu].queue.empty(); }
  int TakeIdleCpu(int first);
  void KickFor(const Task& task, int last_cpu, bool woken, usermode::BpfHelpers& helpers);
  void PassOn(int cpu, usermode::BpfHelpers& helpers);

  const Options options_;
  Tunable slice_;
  uint64_t order_ = 0;
  uint64_t picks_ = 0;
  size_t waiting_ = 0;
  std::map<int64_t, std::unique_ptr<Task>> tasks_;
  std::list<Task*> global_, parked_;
  std::map<int, Cpu> cpus_;
  std::set<int> idle_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_BIFF_TWIN_H_
