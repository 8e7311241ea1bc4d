// What the CPUs of a per-CPU runtime know of each other: a row of figures for each, and which of them are idle.
//
// CpuBoard  is where each CPU's agent writes what it has to do, for others to read. Nothing here is locked, all of it
//           may be out of date by the time that it is used.
// CpuLoads  is what a policy sees of it when it gives a task a place (lib/policy.h).
//
// Threads: as said at each row; looks from all at once. No allocation after its making.
#ifndef GHOST_LIB_PER_CPU_BOARD_H_
#define GHOST_LIB_PER_CPU_BOARD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "lib/base/atomic_cpu_set.h"
#include "lib/base/counter.h"
#include "lib/base/cpu_set.h"
#include "lib/topology.h"

namespace ghost {

class CpuBoard {
 public:
  static constexpr int kNobody = -1;

  struct alignas(64) Row {
    // Changed by the CPU's own agent.
    Counter runnable;                       // tasks queued or running here
    Counter load;                           // as the policy says
    std::atomic<uint32_t> version{0};       // goes up when somebody who might go elsewhere joins those that wait here
    alignas(64) std::atomic<int> tasks{0};  // at home here; changed by all
    std::atomic<int> incoming{0};           // of these, still in the mailbox; changed by all
    std::atomic<int> asker{kNobody};  // an idle CPU that asks for some of them; set by it, taken by the agent here
  };

  // `topology` has all of `cpus`.
  CpuBoard(const CpuSet& cpus, std::shared_ptr<const Topology> topology)
      : cpus_(cpus),
        topology_(std::move(topology)),
        rows_(static_cast<size_t>(cpus.Last()) + 1),
        idle_(cpus.Last() + 1),
        crowded_(cpus.Last() + 1) {}

  const CpuSet& cpus() const { return cpus_; }
  const std::shared_ptr<const Topology>& topology() const { return topology_; }
  Row& row(int cpu) { return rows_[static_cast<size_t>(cpu)]; }
  const Row& row(int cpu) const { return rows_[static_cast<size_t>(cpu)]; }
  // CPUs that have nothing to run, and would.
  AtomicCpuSet& idle() { return idle_; }
  const AtomicCpuSet& idle() const { return idle_; }
  // CPUs where tasks wait for others to leave, or did a moment ago.
  AtomicCpuSet& crowded() { return crowded_; }

  // The idle CPU among `allowed` that is nearest to `near`: of those that share its L3 cache, then those of its node,
  // then all, and of equals one whose whole core is idle. -1: none. O(1).
  int NearestIdle(int near, const CpuSet& allowed) const { return idle_.empty() ? -1 : FindNearestIdle(near, allowed); }
  // Calls visit(cpus) for the CPUs that share an L3 cache with `near`, those of its node, and all, until it returns
  // true.
  template <typename Visit>
  void VisitDomains(int near, Visit visit) const {
    const Topology::Cpu cpu = topology_->cpu(near);
    if (cpu.valid() && (visit(cpu.l3_siblings()) || visit(topology_->CpusOnNode(cpu.numa_node())))) return;
    visit(cpus_);
  }

 private:
  int FindNearestIdle(int near, const CpuSet& allowed) const;
  int IdleIn(int near, const CpuSet& allowed, const CpuSet& domain) const;
  bool WholeCoreIsIdle(int cpu) const;

  const CpuSet cpus_;
  const std::shared_ptr<const Topology> topology_;
  std::vector<Row> rows_;  // by cpu
  AtomicCpuSet idle_;
  AtomicCpuSet crowded_;
};

// The board, as it is for a task that looks for a place.
class CpuLoads {
 public:
  struct Load {
    int runnable = 0;  // tasks queued or running there, and on their way there
    int tasks = 0;     // tasks whose home it is
  };
  // `counted_on`: a CPU in whose figures stand `counted` runnable tasks, this one among them, that are none of its
  // load.
  CpuLoads(const CpuSet& allowed, const CpuBoard& board, int counted_on = CpuBoard::kNobody, int counted = 0)
      : allowed_(allowed), board_(board), counted_on_(counted_on), counted_(counted) {}

  // The CPUs to choose from: never empty.
  const CpuSet& allowed() const { return allowed_; }
  Load operator[](int cpu) const {
    return {.runnable = Runnable(cpu), .tasks = board_.row(cpu).tasks.load(std::memory_order_relaxed) - Others(cpu)};
  }
  // The first of these figures alone.
  int Runnable(int cpu) const {
    const CpuBoard::Row& row = board_.row(cpu);
    return static_cast<int>(row.runnable.value()) + row.incoming.load(std::memory_order_relaxed) - Others(cpu);
  }
  // The allowed CPU that has nothing to do and is nearest to `near`, or -1; see CpuBoard.
  int NearestIdle(int near) const { return board_.NearestIdle(near, allowed_); }

 private:
  int Others(int cpu) const { return cpu == counted_on_ ? counted_ : 0; }

  const CpuSet& allowed_;
  const CpuBoard& board_;
  const int counted_on_;
  const int counted_;
};

}  // namespace ghost

#endif  // GHOST_LIB_PER_CPU_BOARD_H_
