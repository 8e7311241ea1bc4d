// Watches a core and its driver, and says when something happens that never may, whatever agents and tasks do.
//
// It stands between the two as a Driver, keeps its own book of every task from the driver's side, and after each entry
// into the core compares it with what the core believes:
//
//   * no task is lost: who was attached or forked, and has neither exited nor been detached, is the core's task;
//   * a task is on one CPU at most, a CPU has one task at most, and what the driver reports fits what it was told;
//   * Run only of a held task, Preempt once per Run;
//   * a claimed transaction gets one outcome, before the entry ends; a sync group commits all of its CPUs or none;
//   * barriers only go up;
//   * tasks get CPU time only between Run and their report, and a CPU's busy time is the sum of that (exact_time);
//   * while a task waits, not all CPUs of its enclave idle under an agent that sleeps, for longer than max_idle_ns;
//   * a task that can run does so within max_wait_ns (liveness: to be set when faults have stopped);
//   * the state agrees with itself (invariants.h): checked at every full_check-th entry, as it costs time.
//
//     InvariantChecker checker(&driver, {.on_violation = …});
//     Core core(options, &checker);
//     core.AddObserver(&checker);
//
// Threads: the core's.
#ifndef GHOST_KERNEL_USERMODE_CORE_INVARIANT_CHECKER_H_
#define GHOST_KERNEL_USERMODE_CORE_INVARIANT_CHECKER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kernel/usermode/core/driver.h"
#include "kernel/usermode/core/observer.h"

namespace ghost::usermode {

struct Task;
struct Enclave;

class InvariantChecker final : public Driver, public CoreObserver {
 public:
  struct Options {
    // Told of each violation, in one line. From inside the core: it must not call back.
    std::function<void(const std::string&)> on_violation;
    int full_check = 1;       // the whole state at every n-th entry; 0 never
    bool exact_time = false;  // the driver's clock stands still during an entry, and its accounting is exact
    int64_t max_idle_ns = 0;  // 0: not checked
    int64_t max_wait_ns = 0;  // 0: not checked
  };
  InvariantChecker(Driver* driver, Options options);

  void set_max_wait_ns(int64_t ns) { options_.max_wait_ns = ns; }
  uint64_t violations() const { return violations_; }
  uint64_t entries() const { return entries_; }

  // -- Driver: passed on to the real one --
  int64_t NowNs() override { return driver_.NowNs(); }
  std::optional<Region> AllocateRegion(const std::string& name, size_t size) override {
    return driver_.AllocateRegion(name, size);
  }
  void FreeRegion(uint64_t id) override { driver_.FreeRegion(id); }
  AttachResult Attach(Tid tid, int64_t gtid) override;
  void Detach(int64_t gtid) override;
  void Run(int64_t gtid, int cpu) override;
  void Preempt(int64_t gtid) override;
  uint64_t RuntimeNs(int64_t gtid) override { return driver_.RuntimeNs(gtid); }
  std::optional<uint64_t> RuntimeNsOfTid(Tid tid) override { return driver_.RuntimeNsOfTid(tid); }
  std::optional<CpuSet> Affinity(int64_t gtid) override { return driver_.Affinity(gtid); }
  uint64_t StartTime(Tid tid) override { return driver_.StartTime(tid); }
  int MayAttach(Tid tid, const Caller& caller) override { return driver_.MayAttach(tid, caller); }
  int AttachAgent(Tid tid, int cpu) override { return driver_.AttachAgent(tid, cpu); }
  void KillAgent(Tid tid) override { driver_.KillAgent(tid); }
  void CompleteRequest(uint64_t request, int result) override { driver_.CompleteRequest(request, result); }
  void ArmTimer(uint64_t id, int64_t when_ns) override { driver_.ArmTimer(id, when_ns); }
  void NotifyNode(uint64_t node) override { driver_.NotifyNode(node); }
  void Log(const std::string& line) override { driver_.Log(line); }

  // -- CoreObserver --
  void OnTaskEvent(int64_t gtid, TaskEvent event) override;
  void OnTaskForked(int64_t gtid) override;
  void OnClaim(int cpu) override;
  void OnOutcome(int cpu, int32_t state) override;
  void OnGroup(const CpuSet& cpus, bool all) override;
  void AfterEntry(const State& state) override;

 private:
  enum class Life : uint8_t { kEntering, kHeld, kRunning, kAsleep };
  struct Book {
    Life life = Life::kEntering;
    bool preempt_asked = false;
    int cpu = -1;
    int64_t since_ns = 0;     // kRunning
    uint64_t runtime_ns = 0;  // when it last got or left a CPU (exact_time)
    bool runtime_known = false;
    bool touched = false;
    uint32_t barrier = 0;
  };
  struct CpuBook {
    int64_t gtid = 0;
    uint64_t busy_ns = 0;
    int64_t agent_gtid = 0;
    uint32_t agent_barrier = 0;
    bool claimed = false;
    int32_t outcome = 0;  // of the last transaction
    bool touched = false;
  };

  void Violated(const std::string& what);
  CpuBook& CpuOf(int cpu);
  void TouchCpu(int cpu);
  Book* Find(int64_t gtid, const char* what);
  void LeftCpu(int64_t gtid, Book& book);
  void Forget(int64_t gtid, Book& book);
  void CheckTask(const State& state, int64_t gtid);
  void CheckCpu(const State& state, int cpu);
  void CheckWaiting(const State& state);
  bool AllIdle(const State& state, const Enclave& enclave) const;
  void CheckAll(const State& state);

  Driver& driver_;
  Options options_;
  uint64_t violations_ = 0;
  uint64_t entries_ = 0;
  absl::flat_hash_map<int64_t, Book> tasks_;
  std::vector<CpuBook> cpus_;
  std::vector<int64_t> touched_;
  std::vector<int> touched_cpus_;
  int claims_open_ = 0;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_INVARIANT_CHECKER_H_
