// A simulated thread, and whoever wants to know what threads do.
//
// Plain data; threads.h changes it, fair_queue.h its place in a run queue. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_THREAD_H_
#define GHOST_KERNEL_USERMODE_SIM_THREAD_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>

#include "kernel/usermode/sim/program.h"
#include "lib/base/cpu_set.h"

namespace ghost::sim {

struct Thread {
  // kAgent: an agent, or a thread of a process of agents. It is driven from outside and stands in no run queue here.
  enum class Class : uint8_t { kOrdinary, kGhost, kAgent };
  enum class State : uint8_t {
    kNew,       // not started yet
    kSleeping,  // until its time, or a wake-up
    kRunnable,  // ordinary: in a run queue; ghost: held
    kRunning,   // on `cpu`
    kDead,
  };

  Tid tid = 0;
  Tid tgid = 0;
  uid_t uid = 0;
  Class scheduling_class = Class::kOrdinary;
  State state = State::kNew;
  bool entering = false;      // of the ghost class already, but still running as an ordinary thread until it is stopped
  bool wake_pending = false;  // a wake-up came while it did not sleep
  bool waits_forever = false;  // asleep without a time
  bool deferrable = true;      // how it sleeps
  int nice = 0;
  int cpu = 0;       // where it runs or last ran
  int group = 0;     // of its creator's choice: which class of the workload it belongs to
  int64_t gtid = 0;  // while it is of the ghost class

  std::shared_ptr<const CpuSet> affinity;
  std::unique_ptr<Program> program;

  int64_t vruntime_ns = 0;        // ordinary: weighted CPU time (fair_queue.h), …
  uint64_t accounted_ns = 0;      // … of so much of its runtime
  int queue_cpu = -1;             // … in the queue of this CPU, in which it is or was last; -1: in none yet
  int64_t burst_left_ns = 0;      // of its current kRun
  int64_t resumed_ns = 0;         // kRunning: since (or from) when it executes
  uint64_t runtime_ns = 0;        // CPU time, without that since resumed_ns
  int64_t runnable_since_ns = 0;  // kRunnable: since when
  bool woken = false;             // … and it came from sleep
  uint32_t plan = 0;              // generation of what it is going to do: bumped when that changes
  uint32_t stop = 0;              // generation of the request to stop that is under way, …
  int64_t interrupt_ns = 0;       // … and how long its CPU takes for that, before it is off

  bool OnCpu() const { return state == State::kRunning; }
  uint64_t RuntimeNs(int64_t now_ns) const {
    return runtime_ns + (OnCpu() && now_ns > resumed_ns ? static_cast<uint64_t>(now_ns - resumed_ns) : 0);
  }
};

// Why a thread left its CPU.
enum class OffReason : uint8_t { kSlept, kYielded, kPreempted, kExited, kDeparted };
const char* OffReasonName(OffReason reason);

// All methods are optional. They must not change anything.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnRun(const Thread& /*thread*/, int64_t /*now_ns*/) {}  // it got its CPU; executes from resumed_ns on
  virtual void OnOff(const Thread& /*thread*/, OffReason /*reason*/, int64_t /*now_ns*/) {}
  virtual void OnWake(const Thread& /*thread*/, int /*waker_cpu*/, int64_t /*now_ns*/) {}
  virtual void OnExit(const Thread& /*thread*/, int64_t /*now_ns*/) {}
  virtual void OnAgent(int /*cpu*/, Tid /*tid*/, bool /*running*/, int64_t /*now_ns*/) {}
  virtual void OnOnline(int /*cpu*/, bool /*online*/, int64_t /*now_ns*/) {}
  virtual void OnBusy(int /*cpu*/, bool /*busy*/, int64_t /*now_ns*/) {}  // another class wants it, as the core is told
  virtual void OnLog(const std::string& /*line*/, int64_t /*now_ns*/) {}
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_THREAD_H_
