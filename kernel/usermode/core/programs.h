// The BPF programs of enclaves: which are attached, when they run, and what their helpers do.
//
// A program belongs to one hook of one enclave, and stays as long as the open file (of the enclave's ctl) through which
// it came: a dying agent detaches by itself. Where there is none a hook costs one comparison; one that fails, or runs
// wild, leaves plain behaviour:
//
//     Scheduler::Schedule(cpu) ──> PickNextTask   before anything is decided
//     Messenger::Produce       ──> SendMessage    before the message is queued
//     Tasks::Wake              ──> SelectRq       before TASK_WAKEUP
//
// What a ghost kernel does by spinning is done by events here: a CPU whose program has set dont_idle and that has
// nothing to run is looked at again whenever a program has seen a message, and on each tick. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_PROGRAMS_H_
#define GHOST_KERNEL_USERMODE_CORE_PROGRAMS_H_

#include <cstdint>
#include <memory>

#include "kernel/abi/message.h"
#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

class Programs : private BpfHelpers {
 public:
  explicit Programs(Kernel& kernel);

  // -- Attaching --

  // GHOSTD_IOC_BPF_ATTACH through the open file `handle`. 0, or -errno: EINVAL type, EBADF version, EBUSY one is there.
  int Attach(Enclave& enclave, uint64_t handle, const ghostd_ioc_bpf_attach& attach, Caller& caller);
  // 0 or -EBUSY. `handle` 0: until the enclave ends.
  int Attach(Enclave& enclave, uint64_t handle, BpfHook hook, std::unique_ptr<BpfProgram> program);
  // The open file is closed, or the enclave ends.
  void Detach(uint64_t handle);
  void DetachAll(Enclave& enclave);

  // -- Hooks --

  static bool Has(const Enclave* enclave, BpfHook hook) {
    return enclave != nullptr && enclave->programs[static_cast<size_t>(hook)].program != nullptr;
  }
  static bool Any(const Enclave& enclave) {
    for (const BpfLink& link : enclave.programs) {
      if (link.program != nullptr) return true;
    }
    return false;
  }
  // Before `cpu` picks; with a current task: before it is decided whether that goes on.
  void PickNextTask(Cpu& cpu);
  // Returns whether the message is to be dropped; *pref_cpu: whose agent to wake, if the program says so.
  bool SendMessage(Enclave& enclave, Message* message, int cpu, int* pref_cpu);
  // The CPU for the woken task, or -1.
  int SelectRq(const Task& task, int waker_cpu);

  // -- Views: nothing without programs --

  void TaskChanged(const Task& task) {
    if (!task.enclave->views.empty()) [[unlikely]]
      ShowTask(task);
  }
  void AffinityChanged(const Task& task);
  void TaskGone(const Task& task);
  void CpuChanged(const Cpu& cpu);
  void CpusChanged(const Enclave& enclave);

  // -- Idle CPUs whose program wants to be asked again --

  bool any_polls() const { return num_polling_ > 0; }
  // A CPU has picked nothing.
  void NoteIdle(Cpu& cpu);
  void StopPolling(Cpu& cpu);
  // Reschedules those for whom something may have changed. True: there were some.
  bool Repoll();
  // … all of them.
  void RepollAll();
  // At the end of an entry into the core: programs may run again, however often they have in the one before.
  void EndEntry();

 private:
  // BpfHelpers, of the run that is under way.
  int WakeAgent(int cpu) override;
  int RunGtid(int64_t gtid, uint32_t task_barrier, int32_t run_flags) override;
  int ReschedCpu(int cpu, uint32_t flags) override;
  void NoteFailure() override { ++running_.enclave->counters.programs.failed_effects; }
  void LatchFailed(int64_t gtid, int error) override;

  struct Running {
    Enclave* enclave = nullptr;
    Cpu* picks = nullptr;
  };
  bool Run(Enclave& enclave, BpfHook hook, std::span<std::byte> context, int cpu, int32_t* result);
  bool OnCpuElsewhere(const Task& task, const Cpu& cpu) const;
  int JudgeTask(const Task* task, uint32_t barrier) const;
  void Latch(Cpu& cpu, Task& task, int32_t run_flags);
  void DropLink(Enclave& enclave, size_t hook);
  void ListViews(Enclave& enclave);
  void ShowTask(const Task& task);
  BpfView::Cpu ViewOf(const Cpu& cpu, const Enclave& enclave) const;
  void ShowAll(Enclave& enclave, BpfView* view);

  Kernel& kernel_;
  State& state_;
  Running running_;
  int num_polling_ = 0;
  uint64_t version_ = 0;  // of what programs may know
  int budget_ = 0;        // runs of pick-next-task programs that are left to this entry
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_PROGRAMS_H_
