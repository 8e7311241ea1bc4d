// What a simulation measured, as people and programs read it. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_SUMMARY_H_
#define GHOST_KERNEL_USERMODE_SIM_SUMMARY_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "kernel/usermode/sim/agent_host.h"
#include "kernel/usermode/sim/script.h"
#include "kernel/usermode/sim/thread.h"
#include "kernel/usermode/sim/workload.h"
#include "lib/base/histogram.h"

namespace ghost::sim {

// Percentiles are within 1/8 of the truth (lib/base/histogram.h). Times in ns.
struct Summary {
  static constexpr size_t kTxnStates = 16;  // from GHOST_TXN_COMPLETE up

  struct Class {
    std::string name;
    uint64_t threads = 0;
    uint64_t runs = 0;       // times that one of them got a CPU
    uint64_t preempted = 0;  // … and lost it against its will
    uint64_t cpu_ns = 0;
    Histogram wake_to_run;  // from a wake-up until it executes
  };
  struct Stream {
    std::string name;
    uint64_t arrived = 0;
    bool has_deadline = false;
    uint64_t missed = 0;  // deadlines, also of those that are not served yet
    Histogram response;   // from arrival to the end of its service
  };
  struct Cpu {
    uint64_t ghost_ns = 0;  // tasks executed
    uint64_t ordinary_ns = 0;
    uint64_t agent_ns = 0;
  };

  uint64_t seed = 0;
  uint32_t abi = 0;
  int64_t duration_ns = 0;  // virtual
  double real_seconds = 0;
  double cpu_seconds = 0;  // of this thread
  uint64_t events = 0;
  std::array<uint64_t, kTxnStates> commits = {};  // by final state
  std::vector<Class> classes;
  std::vector<Stream> streams;
  std::vector<Cpu> cpus;
  uint64_t agent_restarts = 0;
  uint64_t faults = 0;
  uint64_t lost_messages = 0;

  // `with_speed`: also what is another one each time, how fast the simulation itself was.
  std::string ToText(bool with_speed = true) const;
  std::string ToJson() const;
};

// Fills the figures of a summary while the simulation runs.
class SummaryCollector final : public Observer, public AgentObserver, public ResponseObserver {
 public:
  SummaryCollector(const Workload& workload, int num_cpus);
  Summary& summary() { return summary_; }
  // Counts from here on; what happened before is forgotten, but how many threads there are.
  void Begin(int64_t now_ns);
  // What runs now is counted up to now.
  void End(int64_t now_ns);

  void OnRun(const Thread& thread, int64_t now_ns) override;
  void OnOff(const Thread& thread, OffReason reason, int64_t now_ns) override;
  void OnAgent(int cpu, Tid tid, bool running, int64_t now_ns) override;
  void OnTransaction(int by, int cpu, int64_t gtid, int32_t state, int64_t now_ns) override;
  void OnResponse(int stream, int64_t latency_ns, bool late) override;

 private:
  struct CpuNow {
    const Thread* thread = nullptr;
    uint64_t counted_ns = 0;  // of its CPU time
    bool agent = false;
    int64_t agent_since_ns = 0;
  };
  void Count(CpuNow& cpu, size_t index, int64_t now_ns);

  Summary summary_;
  std::vector<CpuNow> now_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_SUMMARY_H_
