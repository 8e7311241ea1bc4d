// SimDriver: the core's Driver over simulated threads and a virtual clock.
//
// It gives the core memory and time, and hands its decisions to Threads and Cpus. Agents are threads of class kAgent
// that are driven from outside: by a test, which makes their requests itself, or by fibers (fiber_host.h); whoever it
// is gets the answers of requests that the core left pending. What it is not: it makes no requests. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_SIM_DRIVER_H_
#define GHOST_KERNEL_USERMODE_SIM_SIM_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/driver.h"
#include "kernel/usermode/sim/cost_model.h"
#include "kernel/usermode/sim/event_queue.h"
#include "kernel/usermode/sim/threads.h"
#include "lib/topology.h"

namespace ghost::sim {

class SimDriver final : public usermode::Driver {
 public:
  // All must outlive it.
  SimDriver(const Topology* topology, EventQueue* events, const CostModel* costs);
  void set_core(usermode::Core* core);
  void AddObserver(Observer* observer);
  void RemoveObserver(Observer* observer);

  Threads& threads() { return threads_; }
  Cpus& cpus() { return threads_.cpus(); }

  // The memory of a region; it stays for as long as a copy of the pointer lives, even if the core frees the region.
  struct Memory {
    std::shared_ptr<std::byte> data;
    size_t size = 0;
  };
  Memory MemoryOf(uint64_t region) const;
  size_t num_regions() const { return regions_.size(); }
  // AllocateRegion fails from the moment when so many exist.
  size_t max_regions = SIZE_MAX;

  // -- Agents and requests --
  // A request that the core has left pending: its thread is off its CPU until it is answered.
  void RequestPending(uint64_t request, Tid tid);
  bool IsPending(uint64_t request) const { return pending_.contains(request); }
  std::vector<uint64_t> PendingRequests() const;  // ascending
  // The request's answer, at the moment when its thread is on its CPU again (but has yet to be switched to).
  std::function<void(uint64_t request, Tid tid, int result)> on_answer;
  // The core wants the process of agent `tid` killed. Called from inside the core.
  std::function<void(Tid tid)> on_kill_agent;
  std::function<void(uint64_t node)> on_notify;
  // The CPU whose agent makes a request, while the core handles it: what it does to other CPUs takes an IPI. Else -1.
  void set_origin(int cpu) { origin_ = cpu; }
  // How many transactions its next request has.
  void set_group(int size) { group_ = size; }
  // A BPF program has run for an event of `cpu`: what that starts next begins so much later.
  void ProgramRan(int cpu);
  int AgentCpu(Tid tid) const;  // -1: it is none
  // An agent's thread has ended: the core is told. Outside of the core only.
  void AgentExited(Tid tid);
  // It sleeps in an ordinary system call, or no longer does.
  void AgentSleeps(Tid tid, bool sleeps);

  // -- Driver --
  int64_t NowNs() override { return events_.now_ns(); }
  std::optional<usermode::Region> AllocateRegion(const std::string& name, size_t size) override;
  void FreeRegion(uint64_t id) override;
  usermode::AttachResult Attach(Tid tid, int64_t gtid) override;
  void Detach(int64_t gtid) override;
  void Run(int64_t gtid, int cpu) override;
  void Preempt(int64_t gtid) override;
  uint64_t RuntimeNs(int64_t gtid) override;
  std::optional<uint64_t> RuntimeNsOfTid(Tid tid) override;
  std::optional<CpuSet> Affinity(int64_t gtid) override;
  int MayAttach(Tid tid, const usermode::Caller& caller) override;
  int AttachAgent(Tid tid, int cpu) override;
  void KillAgent(Tid tid) override;
  void CompleteRequest(uint64_t request, int result) override;
  void ArmTimer(uint64_t id, int64_t when_ns) override;
  void NotifyNode(uint64_t node) override;
  void Log(const std::string& line) override;

 private:
  struct CoreTimer {
    uint64_t id = 0;
    uint32_t generation = 0;
  };
  // What a request of the agent of another CPU costs `cpu`: how long it takes to get there, and then, of which
  // `receive_ns` are for the first transaction. 0 if it is no such request.
  int64_t IpiTravel(int cpu) const;
  // How long what programs do still takes.
  int64_t ProgramsNs(int cpu) const;
  int64_t IpiReceive(int cpu, int64_t receive_ns) const;
  int64_t RemotePercent(int cpu) const;  // of what it costs within the origin's node
  void SetAgentRunning(Tid tid, int cpu, bool running);
  void OnCoreTimer(uint32_t index, uint32_t generation);

  const Topology& topology_;
  EventQueue& events_;
  const CostModel& costs_;
  usermode::Core* core_ = nullptr;
  Threads threads_;
  std::vector<Observer*> observers_;
  int origin_ = -1;
  int group_ = 1;
  std::vector<int64_t> programs_until_ns_;  // by cpu
  std::map<uint64_t, Memory> regions_;
  uint64_t last_region_ = 0;
  absl::flat_hash_map<Tid, int> agent_cpus_;
  absl::flat_hash_map<uint64_t, Tid> pending_;
  std::vector<CoreTimer> timers_;
  absl::flat_hash_map<uint64_t, uint32_t> timer_index_;
  MethodHandler<SimDriver, &SimDriver::OnCoreTimer> core_timer_{this};
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_SIM_DRIVER_H_
