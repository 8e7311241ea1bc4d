// flux's BPF programs once more, in C++: what a simulation runs where ghostd runs third_party/bpf/flux.bpf.c.
//
// What it is: the same decisions in the same order, over the containers of the standard library. tests/bpf holds the
// two against each other on random events; keep them alike. docs/flux.md explains what CPUs and threads do in the tree.
// What it is not: fast; or a second place for sub-schedulers that are tried out. One thread.
#ifndef GHOST_KERNEL_USERMODE_SIM_FLUX_TWIN_H_
#define GHOST_KERNEL_USERMODE_SIM_FLUX_TWIN_H_

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/sim/scheduler_twin.h"
#include "lib/base/cpu_set.h"
#include "lib/tunable.h"

namespace ghost::sim {

class FluxTwin final : public SchedulerTwin {
 public:
  enum class Type : uint8_t { kBiff, kIdle, kRoci, kProv };
  // A node of the tree, by the number that its text gives it, from 1 (schedulers/flux/flux_tree.h).
  struct NodeOptions {
    Type type = Type::kBiff;
    int parent = 0;  // 0: it is the root
    uint32_t limit = 0;
  };
  struct Options {
    CpuSet cpus;  // the enclave's
    int64_t slice_ns = 50'000'000;
    std::function<int64_t()> now_ns;
    // A task's own CPUs; nullopt: it is not known.
    std::function<std::optional<CpuSet>(int64_t gtid)> affinity;
    // roci(biff, idle)
    std::vector<NodeOptions> tree = {{Type::kRoci, 0, 0}, {Type::kBiff, 1, 0}, {Type::kIdle, 1, 0}};
  };
  explicit FluxTwin(Options options);

  std::vector<Tunable*> Tunables() { return {&slice_}; }
  size_t tasks() const { return tasks_.size(); }
  // Of the node `number`: CPUs, tasks that wait for any CPU, and how often its tasks were given one.
  size_t cpus_of(int number) const { return nodes_[static_cast<size_t>(number) - 1].cpus.size(); }
  uint32_t waiting_of(int number) const { return nodes_[static_cast<size_t>(number) - 1].waiting; }
  uint64_t picks_of(int number) const { return nodes_[static_cast<size_t>(number) - 1].picks; }
  uint64_t picks() const;

 private:
  struct Task;
  struct Node {
    Type type = Type::kBiff;
    uint32_t limit = 0;
    Node* parent = nullptr;
    std::vector<Node*> children;
    std::set<int> cpus;
    uint32_t waiting = 0;
    std::map<int, uint32_t> pinned;  // how many wait for this CPU
    uint64_t picks = 0;
    // A leaf's.
    std::list<Task*> queue;
    std::map<int, std::list<Task*>> pinned_queue;

    bool is_leaf() const { return type == Type::kBiff || type == Type::kIdle; }
    bool Wants(int cpu) const;
    bool IsAbove(const Node* other) const;  // or it is that one
    Node* ChildForThreads(size_t i) const;
    Node* FirstThatWants(size_t i, int cpu) const;
  };
  struct Task {
    int64_t gtid = 0;
    uint64_t order = 0;
    uint32_t barrier = 0;
    Node* leaf = nullptr;
    bool runnable = false;
    bool nowhere = false;
    enum { kNot, kAnywhere, kAtHome } waits = kNot;
    int cpu = -1;  // where it is latched or runs
    int home = -1;
  };
  struct Cpu {
    Node* at = nullptr;
    Task* current = nullptr;
    int64_t since_ns = 0;
  };
  // What a CPU has found: a task, or that it idles; or it has to look again.
  struct Found {
    Task* task = nullptr;
    bool keep = false;
  };
  // A CPU to reschedule; -1: none.
  struct Kick {
    int cpu = -1;
    bool must = false;
  };

  static void Do(Kick kick, usermode::BpfHelpers& helpers);

  // What differs between the types: third_party/bpf/flux_*.bpf.h.
  Node* Choose(const Node& branch, int cpu) const;
  bool Takes(const Node& branch, const Node* to, const Node* from) const;
  static Node* RouteStep(const Node& branch, int nice);
  Found LeafFirst(const Node& leaf, int cpu) const;
  bool TurnIsOver(const Node& leaf, int cpu, int64_t ran_ns) const;

  // The tree: third_party/bpf/flux_tree.bpf.h.
  Node* Root() { return nodes_.data(); }
  const Node* Root() const { return nodes_.data(); }
  Node* Idle() const { return Root()->children.back(); }
  void GiveCpu(Node* node, int cpu);
  void ReturnCpu(int cpu);
  void TakeCpuUp(int cpu, Node* top);
  void Enqueue(Task* task);
  void Dequeue(Task* task);
  void ForgetCpu(Task* task);
  Node* Route(int nice);
  Found FirstOf(const Node& leaf, int cpu) const;
  Found StepOf(int cpu);
  Node* WhoGives(Node* leaf, int cpu);
  static bool WantsMore(const Node* to);
  Node* FindGiver(Node* leaf, Node** top);
  Node* WhoWouldTake(int cpu);

  // The programs: third_party/bpf/flux.bpf.c.
  Kick Claim(Node* leaf, int cpu);
  Kick CallHome(Node* leaf, int home);
  Kick CallAny(Node* leaf, int first);
  void CallFor(const Task& task, int last_cpu, usermode::BpfHelpers& helpers);
  int FindHome(int64_t gtid, int cpu);
  Found TakeFirst(int cpu);
  void GiveBack(Task* task, int cpu, uint32_t barrier, bool always);
  bool SendHome(Task* task, int cpu, uint32_t barrier, bool idle, usermode::BpfHelpers& helpers);
  void Spread(int cpu, usermode::BpfHelpers& helpers);
  Kick SettleOn(Task* task, int cpu);
  void PassOn(int cpu, usermode::BpfHelpers& helpers);
  void PickNextTask(bpf_ghost_sched* context, int cpu, usermode::BpfHelpers& helpers) override;
  void Note(Task* task, uint32_t barrier, bool runnable);
  bool NoteBarrier(Task* task, uint32_t barrier, bool anew);
  Kick NoteNice(Task* task, int nice);
  int32_t Arrive(const bpf_ghost_msg& message, usermode::BpfHelpers& helpers);
  void Leave(Task* task);
  Kick Tick(int cpu);
  void BecomesRunnable(Task* task, uint32_t barrier, int cpu, usermode::BpfHelpers& helpers);
  int32_t SendMessage(bpf_ghost_msg* message, int cpu, usermode::BpfHelpers& helpers) override;

  const Options options_;
  Tunable slice_;
  uint64_t order_ = 0;
  std::vector<Node> nodes_;  // never resized: others point into it
  std::map<int64_t, std::unique_ptr<Task>> tasks_;
  std::map<int, Cpu> cpus_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_FLUX_TWIN_H_
