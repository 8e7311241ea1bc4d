// What a per-CPU runtime is made of, apart from the policy: for each CPU a queue and a row of figures.
// PerCpuRuntime<Policy> adds the schedule pass.
//
// Threads: lib/runtime_base.h says it.
#ifndef GHOST_LIB_PER_CPU_BASE_H_
#define GHOST_LIB_PER_CPU_BASE_H_

#include <cstdint>

#include "lib/channel.h"
#include "lib/cpu_timer.h"
#include "lib/per_cpu_board.h"
#include "lib/runtime_base.h"

namespace ghost {

class PerCpuBase : public RuntimeBase {
 public:
  RuntimeCounters Counters(int cpu) const override;
  int64_t CountTasks() const override;

 protected:
  struct Cpu : RuntimeBase::Cpu {
    Cpu(int number, CpuBoard::Row* figures) : RuntimeBase::Cpu(number), row(*figures) {}
    CpuBoard::Row& row;
    Channel channel;
    CpuTimer slice_timer;  // if wants_timers()
  };

  using RuntimeBase::RuntimeBase;

  Cpu* cpu_base(int cpu) const override = 0;
  // The enclave needs ticks ("deliver_ticks").
  virtual bool wants_ticks() const = 0;
  // Slices end on time, not at the tick after that.
  virtual bool wants_timers() const = 0;

 private:
  absl::Status PrepareQueues() override;
  Channel* agent_queue(int cpu) override { return &cpu_base(cpu)->channel; }
  // New tasks, and those that were there, report to the first CPU, which gives each its place.
  Channel* default_queue() override { return &cpu_base(cpus().First())->channel; }
  absl::Status ConfigureEnclave() override;
};

}  // namespace ghost

#endif  // GHOST_LIB_PER_CPU_BASE_H_
