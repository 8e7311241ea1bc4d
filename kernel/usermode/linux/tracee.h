// One thread under ptrace: the calls that ghostd makes on it, with what they mean for the gate. No policy here.
//
// All calls must come from the one thread that seized (a rule of ptrace). Functions return 0 or -errno; -ESRCH means
// that the thread is dead or not in a ptrace stop.
#ifndef GHOST_KERNEL_USERMODE_LINUX_TRACEE_H_
#define GHOST_KERNEL_USERMODE_LINUX_TRACEE_H_

#include <cstdint>

namespace ghost::usermode::tracee {

// Attaches without stopping; its future children are attached too, stopped before their first user instruction.
int Seize(int32_t tid);
int Interrupt(int32_t tid);
int Continue(int32_t tid, int signal);  // delivers `signal` (0: none)
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
    kGone,       // exited and reaped
  };
  Kind kind = Kind::kNone;
  int signal = 0;
  int32_t message = 0;
};
// What waitpid(tid) has, without waiting.
Stop Wait(int32_t tid);

// At a signal-delivery-stop: whether the kernel itself sent the signal (as the gate's BPF program does).
bool SignalIsFromKernel(int32_t tid);

// Sends the thread's process a signal that ghostd has cost it.
void SendAgain(int32_t tid, int signal);

// A stop interrupts some system calls with EINTR that would have slept on (epoll_wait, recv with a timeout,
// sigtimedwait, …; most restart by themselves). At a stop that the thread must not notice: makes such a call start
// again. Does nothing if a signal that the thread handles is pending too: then EINTR is what it would have got anyway.
void RestartInterruptedCall(int32_t tid);

// Whether `signal` would not be noticed by an untraced thread: it is ignored, by its disposition or by default.
bool IgnoresSignal(int32_t tid, int signal);

}  // namespace ghost::usermode::tracee

#endif  // GHOST_KERNEL_USERMODE_LINUX_TRACEE_H_
