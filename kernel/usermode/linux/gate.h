// The gate: what keeps a thread that is not scheduled from running user code, and what notices that it blocks.
//
// A ptrace stop holds the thread, always. The two kinds of gate differ in who closes it, and in how ghostd learns what
// the thread does:
//   BpfGate      BPF programs in the kernel (bpf_gate.h). A system call costs the thread almost nothing.
//   SyscallGate  the thread stops at the entry and the exit of every system call (syscall_gate.h). Needs no right but
//                that to trace the thread.
// Both keep one slot per thread, whose state is that of third_party/bpf/gate.h, and report events of that header.
//
// What it is not: it knows nothing of the core and decides nothing; LinuxDriver puts the two together. One thread
// (ghostd's) calls it, and gets its callbacks, from inside Consume (SyscallGate: also AtSyscallStop).
#ifndef GHOST_KERNEL_USERMODE_LINUX_GATE_H_
#define GHOST_KERNEL_USERMODE_LINUX_GATE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "kernel/usermode/linux/tracee.h"
#include "third_party/bpf/gate.h"

namespace ghost::usermode {

class Gate {
 public:
  using EventCallback = std::function<void(const gate_event&)>;

  virtual ~Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // For ghostd's start-up line.
  virtual std::string_view name() const = 0;
  // Whether it holds a thread at the end of a system call that the thread had begun before it was seized. If not, such
  // a thread has to be interrupted first.
  virtual bool holds_sleepers() const = 0;

  // Whether it reports scheduling calls (GATE_EVENT_CALL) that a thread without a slot makes on one that has a slot.
  virtual bool sees_strangers() const = 0;
  // Whether such a call is being made by a thread with a slot, and its report is still to come.
  virtual bool scheduling_call_under_way() const = 0;

  // Takes a slot for `tid` in state `state`; events about the thread name it from now on. Returns its index, or -1
  // (none free).
  virtual int Take(int32_t tid, uint32_t state) = 0;
  // Gives it back; the gate no longer knows the tid (if that is still this slot's).
  virtual void Give(int slot, int32_t tid) = 0;
  // After an exec by a thread that was not the leader.
  virtual void SetTid(int slot, int32_t tid) = 0;

  // The calls of tracee.h, as the gate needs them.
  virtual int Seize(int slot, int32_t tid) = 0;
  virtual int Interrupt(int slot, int32_t tid) = 0;
  virtual int Continue(int slot, int32_t tid, int signal) = 0;
  // The stop that a GATE_EVENT_STOPPED has announced, or any other that is there.
  virtual tracee::Stop Wait(int32_t tid) = 0;

  // Waits for the first stop of a child that has no slot.
  virtual void AwaitStop(int32_t tid) = 0;

  // At a stop of kind kSyscall: moves the state on. kHold: the thread must stay where it is (to be detached, if it was
  // leaving); kGoOn: continue it.
  enum class Verdict { kGoOn, kHold };
  virtual Verdict AtSyscallStop(int slot, int32_t tid) = 0;

  // Time on a CPU since the slot was taken, ns.
  virtual uint64_t RuntimeNs(int slot, int64_t now_ns) = 0;

  virtual int event_fd() const = 0;  // readable when there are events
  // Calls back for every event that is there (or for many of them: then event_fd stays readable); returns how many.
  virtual int Consume() = 0;

  struct Losses {
    uint64_t dropped = 0;  // events: ghostd must look at every thread itself
    uint64_t missed = 0;   // gate signals that could not be sent: a thread may have run on unscheduled
  };
  // Since the last call.
  virtual Losses TakeLosses() = 0;

  uint32_t State(int slot) const;
  // Release. Does nothing to a thread that has exited meanwhile: its end must be seen, and its slot given back.
  void SetState(int slot, uint32_t state);
  // Compare-and-swap; true if `from` was the state.
  bool ChangeState(int slot, uint32_t from, uint32_t to);
  // True once for each gate signal that was sent (by BPF programs).
  bool TakeSignal(int slot);
  // Whether a gate signal was sent that nobody took yet.
  bool SignalSent(int slot) const;
  // True once if a gate signal has taken a pending SIGCONT away from the thread's process.
  bool TakeLostCont(int slot);

 protected:
  static constexpr size_t kSlotsBytes = sizeof(gate_slot) * GATE_MAX_SLOTS;
  static_assert(sizeof(gate_slot) == 64);

  Gate() = default;
  // The memory of all slots; it must stay until the end.
  void UseSlots(gate_slot* slots);
  // -1: none free. Resets it.
  int TakeSlot(int32_t tid, uint32_t state);
  void GiveSlot(int slot);

  gate_slot* slots_ = nullptr;

 private:
  std::vector<int> free_slots_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_GATE_H_
