#include "kernel/usermode/linux/tracee.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <cerrno>
#include <optional>

#include "kernel/usermode/linux/proc.h"

namespace ghost::usermode::tracee {
namespace {

int Call(__ptrace_request request, int32_t tid, uintptr_t address, uintptr_t data) {
  return ptrace(request, tid, address, data) == -1 ? -errno : 0;
}

constexpr uint64_t SignalBit(int signal) { return uint64_t{1} << (signal - 1); }

// Signals whose default action is to do nothing.
constexpr uint64_t kIgnoredByDefault =
    SignalBit(SIGCHLD) | SignalBit(SIGURG) | SignalBit(SIGWINCH) | SignalBit(SIGCONT);

}  // namespace

int Seize(int32_t tid) {
  return Call(PTRACE_SEIZE, tid, 0,
              PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC);
}

int Interrupt(int32_t tid) { return Call(PTRACE_INTERRUPT, tid, 0, 0); }
int Continue(int32_t tid, int signal) { return Call(PTRACE_CONT, tid, 0, signal); }
int Detach(int32_t tid, int signal) { return Call(PTRACE_DETACH, tid, 0, signal); }
int Listen(int32_t tid) { return Call(PTRACE_LISTEN, tid, 0, 0); }

Stop Wait(int32_t tid) {
  Stop stop;
  int status = 0;
  int waited = waitpid(tid, &status, __WALL | WNOHANG);
  if (waited != tid) return stop;
  if (!WIFSTOPPED(status)) {
    stop.kind = Stop::Kind::kGone;
    return stop;
  }
  stop.signal = WSTOPSIG(status);
  int event = status >> 16;
  unsigned long message = 0;
  switch (event) {
    case 0:
      stop.kind = Stop::Kind::kSignal;
      break;
    case PTRACE_EVENT_STOP:
      stop.kind = stop.signal == SIGTRAP ? Stop::Kind::kInterrupt : Stop::Kind::kGroupStop;
      break;
    case PTRACE_EVENT_CLONE:
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_EXEC:
      stop.kind = event == PTRACE_EVENT_EXEC ? Stop::Kind::kExec : Stop::Kind::kClone;
      ptrace(PTRACE_GETEVENTMSG, tid, 0, &message);
      stop.message = static_cast<int32_t>(message);
      break;
    default:
      stop.kind = Stop::Kind::kInterrupt;
      break;
  }
  return stop;
}

bool SignalIsFromKernel(int32_t tid) {
  siginfo_t info = {};
  if (ptrace(PTRACE_GETSIGINFO, tid, 0, &info) != 0) return true;
  return info.si_code == SI_KERNEL;
}

void SendAgain(int32_t tid, int signal) {
  std::optional<ThreadStatus> status = ReadThreadStatus(tid);
  if (status.has_value()) kill(status->tgid, signal);
}

void RestartInterruptedCall(int32_t tid) {
#if defined(__x86_64__)
  user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, tid, 0, &registers) != 0) return;
  if (static_cast<int64_t>(registers.rax) != -EINTR || static_cast<int64_t>(registers.orig_rax) < 0) return;
  std::optional<ThreadStatus> status = ReadThreadStatus(tid);
  if (!status.has_value()) return;
  uint64_t noticed = ~status->ignored & ~(kIgnoredByDefault & ~status->caught);
  if ((status->pending & noticed) != 0) return;
  constexpr int kSyscallInstructionBytes = 2;
  registers.rax = registers.orig_rax;
  registers.rip -= kSyscallInstructionBytes;
  registers.orig_rax = static_cast<unsigned long>(-1);
  ptrace(PTRACE_SETREGS, tid, 0, &registers);
#else
#error "the gate is written for x86-64 only: see docs/usermode-kernel.md"
#endif
}

bool IgnoresSignal(int32_t tid, int signal) {
  std::optional<ThreadStatus> status = ReadThreadStatus(tid);
  if (!status.has_value()) return false;
  uint64_t bit = SignalBit(signal);
  if ((status->ignored & bit) != 0) return true;
  return (kIgnoredByDefault & bit) != 0 && (status->caught & bit) == 0;
}

}  // namespace ghost::usermode::tracee
