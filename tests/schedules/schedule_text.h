// A simulated schedule as text that a person can check against a textbook: who had each CPU from when to when, and why
// it left.
//
//     cpu 0
//          0.000 -    100.000  long.1     exited
//        100.000 -    110.000  short.1    slept
//     class long: 1 threads, 100.000 us of cpu (83.33 %)
//
// Times in us since the workload's start. A thread is its class and its number in it. Whoever loses its CPU and has it
// back at the same instant (its agent looked, and let it go on) has not lost it. Threads: one.
#ifndef GHOST_TESTS_SCHEDULES_SCHEDULE_TEXT_H_
#define GHOST_TESTS_SCHEDULES_SCHEDULE_TEXT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernel/usermode/sim/machine.h"
#include "kernel/usermode/sim/summary.h"
#include "kernel/usermode/sim/thread.h"
#include "kernel/usermode/sim/workload.h"

namespace ghost::sim {

class ScheduleRecorder final : public Observer {
 public:
  struct Slice {
    std::string thread;
    int64_t from_ns = 0;  // on the simulation's clock
    int64_t to_ns = -1;   // -1: it still runs
    const char* reason = "";
  };

  // Watches a machine from now on. Both must outlive it.
  ScheduleRecorder(const Workload* workload, Machine* machine);
  ~ScheduleRecorder() override { machine_.RemoveObserver(this); }

  // What each CPU did, in order.
  const std::map<int, std::vector<Slice>>& slices() const { return slices_; }
  // `summary`: of the same run; it was `start_ns` when the workload started.
  std::string ToText(const Summary& summary, int64_t start_ns) const;

  void OnRun(const Thread& thread, int64_t now_ns) override;
  void OnOff(const Thread& thread, OffReason reason, int64_t now_ns) override;

 private:
  std::string NameOf(const Thread& thread);

  const Workload& workload_;
  Machine& machine_;
  std::map<int, std::vector<Slice>> slices_;  // by cpu
  std::map<Tid, std::string> names_;
};

}  // namespace ghost::sim

#endif  // GHOST_TESTS_SCHEDULES_SCHEDULE_TEXT_H_
