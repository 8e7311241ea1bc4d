// Faults that are drawn from the seed: what goes wrong with agents, CPUs and threads, and how often.
//
//     "all", "none", or a list: "kill=0.05,delay=0.1,hotplug" (a name alone: its usual rate)
//
// Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_FAULTS_H_
#define GHOST_KERNEL_USERMODE_SIM_FAULTS_H_

#include <cstdint>
#include <functional>
#include <iterator>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernel/usermode/sim/machine.h"
#include "kernel/usermode/sim/random.h"
#include "kernel/usermode/sim/script.h"

namespace ghost::sim {

// 0: does not happen. Rates are per ms of virtual time.
struct FaultRates {
  double kill = 0;      // the agents' process is killed, and started again after up to 200 us
  double upgrade = 0;   // a new one is started beside it, then the old one leaves
  double delay = 0;     // a commit takes up to 50 us longer: the chance of each
  double tiny = 0;      // the agents' queues have 64 slots: the chance for a run
  double hotplug = 0;   // a CPU goes offline, for up to 300 us
  double busy = 0;      // another class takes a CPU, for up to 200 us
  double ping = 0;      // a parked agent gets a signal
  double wake = 0;      // a sleeping thread is woken by nobody
  double affinity = 0;  // a thread's affinity changes
  double nice = 0;
  double depart = 0;  // a task leaves for CFS, and comes back within 300 us
  double fork = 0;    // a task forks one to eight children that live shortly
  double exit = 0;    // a task ends
};
struct FaultName {
  const char* name;
  double FaultRates::*member;
  double usual;
  const char* what;
};
inline constexpr FaultName kFaults[] = {
    {"kill", &FaultRates::kill, 0.05, "kill the agents' process, start it again"},
    {"upgrade", &FaultRates::upgrade, 0.05, "replace the agents' process"},
    {"delay", &FaultRates::delay, 0.1, "delay a commit (chance of each)"},
    {"tiny", &FaultRates::tiny, 0.5, "queues that overflow (chance for a run)"},
    {"hotplug", &FaultRates::hotplug, 0.2, "unplug a CPU for a while"},
    {"busy", &FaultRates::busy, 1, "another class takes a CPU for a while"},
    {"ping", &FaultRates::ping, 1, "a signal for a parked agent"},
    {"wake", &FaultRates::wake, 1, "wake a sleeping thread too early"},
    {"affinity", &FaultRates::affinity, 1, "change a thread's affinity"},
    {"nice", &FaultRates::nice, 1, "change a thread's nice"},
    {"depart", &FaultRates::depart, 0.5, "a task leaves for CFS, and comes back"},
    {"fork", &FaultRates::fork, 0.5, "a task forks some children"},
    {"exit", &FaultRates::exit, 0.05, "a task ends"},
};
static_assert(std::size(kFaults) * sizeof(double) == sizeof(FaultRates));

absl::StatusOr<FaultRates> ParseFaults(absl::string_view spec);

// What makes them happen, between Start and Stop.
class Faults {
 public:
  struct Hooks {
    std::function<void()> kill;
    std::function<void()> upgrade;
    std::function<uint64_t()> enclave;
  };
  Faults(Machine* machine, WorkloadState* workload, const FaultRates& rates, uint64_t seed, Hooks hooks);

  void Start();
  // No more of them; CPUs come back at once, tasks that left as well.
  void Stop();
  int64_t CommitDelay();
  uint64_t count() const { return count_; }

 private:
  using Make = void (Faults::*)();
  struct Kind {
    double rate;
    Make make;
    Random random{0};
  };
  void ScheduleNext(uint32_t kind);
  void OnFault(uint32_t kind, uint32_t generation);
  // A thread that is not dead, of the workload; null: none was found.
  Thread* AnyThread();
  int AnyCpu() { return static_cast<int>(random_->Below(static_cast<uint64_t>(machine_.num_cpus()))); }
  int64_t Soon(int64_t most_ns) { return machine_.now_ns() + 1 + static_cast<int64_t>(random_->Below(most_ns)); }
  bool Inject(Action action);
  void Return(Tid tid);

  void Kill() { hooks_.kill(); }
  void Upgrade() { hooks_.upgrade(); }
  void Hotplug();
  void Busy();
  void Ping();
  void Wake();
  void Affinity();
  void Nice();
  void Depart();
  void Fork();
  void Exit();

  Machine& machine_;
  WorkloadState& workload_;
  const FaultRates rates_;
  const Hooks hooks_;
  std::vector<Kind> kinds_;
  Random delays_;
  Random* random_ = nullptr;  // of the kind that happens
  uint32_t generation_ = 0;
  uint64_t count_ = 0;
  CpuSet offline_;
  std::vector<int> busy_;  // by cpu: how often
  MethodHandler<Faults, &Faults::OnFault> fault_{this};
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_FAULTS_H_
