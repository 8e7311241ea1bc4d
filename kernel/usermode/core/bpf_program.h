// One BPF program of an agent, as the core runs it, and what such a program may ask of the core.
//
// Who implements BpfProgram: ghostd, whose programs are BPF ones that it has the Linux kernel run
// (kernel/usermode/linux/bpf_host.h); a simulation or a test, whose programs are C++. Either is called from inside the
// core at the places where a ghost kernel runs programs (programs.h), and may call back only through BpfHelpers.
//
// Contexts are the structs of ABI 91 (kernel/ghost_uapi.h) whatever the enclave's ABI is: programs for a user-mode
// kernel are compiled once. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_BPF_PROGRAM_H_
#define GHOST_KERNEL_USERMODE_CORE_BPF_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernel/usermode/core/dialect.h"
#include "kernel/usermode/core/driver.h"
#include "lib/base/cpu_set.h"

namespace ghost::usermode {

enum class BpfHook : uint8_t {
  kPickNextTask,  // context: bpf_ghost_sched
  kSendMessage,   // context: bpf_ghost_msg; result: not 0 = drop the message
  kSelectRq,      // context: bpf_ghost_select_rq; result: a CPU, or -1
};
inline constexpr size_t kNumBpfHooks = 3;

// The helpers of a ghost kernel, 3000, 3001 and 3003: 0 or -errno. Valid while a program runs, and right after it.
class BpfHelpers {
 public:
  virtual ~BpfHelpers() = default;
  // -EINVAL: no such CPU, or no agent there; -EXDEV: another enclave's.
  virtual int WakeAgent(int cpu) = 0;
  // Latches the task on the CPU that picks. Only at kPickNextTask (-EPERM elsewhere).
  virtual int RunGtid(int64_t gtid, uint32_t task_barrier, int32_t run_flags) = 0;
  // `flags`: RESCHED_*. -EINVAL: flags; -ERANGE: no such CPU; -EXDEV: another enclave's. A CPU that runs another class
  // than the flags name is left alone: 0.
  virtual int ReschedCpu(int cpu, uint32_t flags) = 0;
  // To be counted: a helper failed of which the program was told that it would not.
  virtual void NoteFailure() = 0;
  // … and it was RunGtid, which failed with `error` (-errno): a task that nobody else has is given back by
  // TASK_LATCH_FAILURE. Only at kPickNextTask.
  virtual void LatchFailed(int64_t /*gtid*/, int /*error*/) {}
};

// What helpers look at, as it is kept for programs that can't call the core while they run.
class BpfView {
 public:
  struct Task {
    int64_t gtid = 0;
    uint32_t barrier = 0;
    bool runnable = false;
    bool on_cpu = false;
    bool inhibited = false;  // it has departed before, and is not yet forgotten: ESTALE
    int cpu = 0;             // where it is, or was last
  };
  struct Cpu {
    int cpu = 0;
    bool online = false;
    bool in_enclave = false;
    bool has_agent = false;
    bool other_class = false;  // it is wanted by another class
    bool taken = false;        // a ghost task or the agent runs there, or something is latched
  };
  virtual ~BpfView() = default;
  virtual void TaskChanged(const Task& task) = 0;
  virtual void TaskAffinity(int64_t gtid, const CpuSet& affinity) = 0;
  virtual void TaskGone(int64_t gtid) = 0;
  virtual void CpuChanged(const Cpu& cpu) = 0;
};

class BpfProgram {
 public:
  virtual ~BpfProgram() = default;
  // `cpu`: whose schedule, message or wake-up it is. False: the program could not be run, and nothing is as it says.
  virtual bool Run(BpfHook hook, std::span<std::byte> context, int cpu, BpfHelpers& helpers, int32_t* result) = 0;
  // The same one for programs that share theirs; null: it needs none.
  virtual BpfView* view() { return nullptr; }
};

// Takes the programs that agents hand over with GHOSTD_IOC_BPF_ATTACH.
class BpfLoader {
 public:
  virtual ~BpfLoader() = default;
  // 0, or -errno: nothing has been taken then.
  virtual int Take(const ghostd_ioc_bpf_attach& attach, Caller& caller, std::unique_ptr<BpfProgram>* program) = 0;
  // The caller's process may load no programs any more, as far as that can be had.
  virtual void ForbidLoading(Caller&) {}
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_BPF_PROGRAM_H_
