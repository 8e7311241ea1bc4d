// One thread under ptrace: the calls that ghostd makes on it, with what they mean for the gate. No policy here.
//
// All calls must come from the one thread that seized (a rule of ptrace). Functions return 0 or -errno; -ESRCH means
// that the thread is dead or not in a ptrace stop.
#ifndef GHOST_KERNEL_USERMODE_LINUX_TRACEE_H_
#define GHOST_KERNEL_USERMODE_LINUX_TRACEE_H_

#include <cstdint>
#include <optional>

namespace ghost::usermode::tracee {

// Attaches without stopping; its future children are attached too, stopped before their first user instruction.
// `more_options`: PTRACE_O_… beside those that this takes.
int Seize(int32_t tid, int more_options);
int Interrupt(int32_t tid);
int Continue(int32_t tid, int signal);  // delivers `signal` (0: none)
// The same, up to its next entry to or exit from a system call at most.
int ContinueToSyscall(int32_t tid, int signal);
int Detach(int32_t tid, int signal);
// A job-control stop goes on, and ends with SIGCONT, as without a tracer.
int Listen(int32_t tid);

struct Stop {
  enum class Kind {
    kNone,       // no news
    kSignal,     // signal-delivery-stop: `signal` is about to be delivered
    kInterrupt,  // PTRACE_INTERRUPT, the first stop of an attached child, or the end of a job-control stop
    kGroupStop,  // job-control stop by `signal`
    kClone,      // clone, fork or vfork made thread `message`
    kExec,       // exec; the thread was `message` before
    kSyscall,    // at the entry or the exit of a system call (with PTRACE_O_TRACESYSGOOD)
    kExit,       // about to exit: no user code follows (with PTRACE_O_TRACEEXIT)
    kGone,       // exited and reaped
  };
  Kind kind = Kind::kNone;
  int signal = 0;
  int32_t message = 0;
};
// What waitpid(tid) has, without waiting.
Stop Wait(int32_t tid);
// What a status that waitpid gave for `tid` means.
Stop Decode(int32_t tid, int status);

// At a stop of kind kSyscall. A call by another table of numbers than x86-64's has the number -1.
struct SyscallStop {
  bool entry = false;
  int64_t number = -1;         // at the entry
  uint64_t arguments[2] = {};  // the first two, at the entry
  int64_t result = 0;          // at the exit
};
std::optional<SyscallStop> ReadSyscallStop(int32_t tid);  // nullopt: killed meanwhile
// Tries on a child of this process whether it may be traced, and whether the kernel has what ReadSyscallStop needs
// (PTRACE_GET_SYSCALL_INFO, Linux 5.3). 0 or -errno; -EIO: it has not.
int TrySyscallStops();

// At a signal-delivery-stop: whether the kernel itself sent the signal (as the gate's BPF program does).
bool SignalIsFromKernel(int32_t tid);

// Sends the thread's process a signal that ghostd has cost it.
void SendAgain(int32_t tid, int signal);

// A stop interrupts some system calls with EINTR that would have slept on (epoll_wait, recv with a timeout,
// sigtimedwait, …; most restart by themselves). At a stop that the thread must not notice: makes such a call start
// again. Does nothing if a signal that the thread handles is pending too: then EINTR is what it would have got anyway.
// Returns whether the thread goes back into its call, by this or by the kernel's own restarting.
bool RestartInterruptedCall(int32_t tid);

// Whether `signal` would not be noticed by an untraced thread: it is ignored, by its disposition or by default.
bool IgnoresSignal(int32_t tid, int signal);

}  // namespace ghost::usermode::tracee

#endif  // GHOST_KERNEL_USERMODE_LINUX_TRACEE_H_
