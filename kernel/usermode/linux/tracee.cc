#include "kernel/usermode/linux/tracee.h"

#include <linux/audit.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

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

int Seize(int32_t tid, int more_options) {
  constexpr int kOptions = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;
  return Call(PTRACE_SEIZE, tid, 0, static_cast<uintptr_t>(kOptions | more_options));
}

int Interrupt(int32_t tid) { return Call(PTRACE_INTERRUPT, tid, 0, 0); }
int Continue(int32_t tid, int signal) { return Call(PTRACE_CONT, tid, 0, signal); }
int ContinueToSyscall(int32_t tid, int signal) { return Call(PTRACE_SYSCALL, tid, 0, signal); }
int Detach(int32_t tid, int signal) { return Call(PTRACE_DETACH, tid, 0, signal); }
int Listen(int32_t tid) { return Call(PTRACE_LISTEN, tid, 0, 0); }

Stop Wait(int32_t tid) {
  int status = 0;
  return waitpid(tid, &status, __WALL | WNOHANG) == tid ? Decode(tid, status) : Stop();
}

Stop Decode(int32_t tid, int status) {
  Stop stop;
  if (!WIFSTOPPED(status)) {
    stop.kind = Stop::Kind::kGone;
    return stop;
  }
  stop.signal = WSTOPSIG(status);
  unsigned long message = 0;
  switch (const int event = status >> 16; event) {
    case 0:
      stop.kind = stop.signal == (SIGTRAP | 0x80) ? Stop::Kind::kSyscall : Stop::Kind::kSignal;
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
    case PTRACE_EVENT_EXIT:
      stop.kind = Stop::Kind::kExit;
      break;
    default:
      stop.kind = Stop::Kind::kInterrupt;
      break;
  }
  return stop;
}

std::optional<SyscallStop> ReadSyscallStop(int32_t tid) {
  __ptrace_syscall_info info = {};
  if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0) return std::nullopt;
  SyscallStop stop;
  stop.entry = info.op == PTRACE_SYSCALL_INFO_ENTRY;
  if (stop.entry) {
    if (info.arch == AUDIT_ARCH_X86_64) stop.number = static_cast<int64_t>(info.entry.nr);
    stop.arguments[0] = info.entry.args[0];
    stop.arguments[1] = info.entry.args[1];
  } else {
    stop.result = info.exit.rval;
  }
  return stop;
}

int TrySyscallStops() {
  const pid_t child = fork();
  if (child < 0) return -errno;
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  int error = Seize(child, PTRACE_O_TRACESYSGOOD);
  if (error == 0) error = Interrupt(child);
  if (error == 0) {
    waitpid(child, nullptr, __WALL);
    if (!ReadSyscallStop(child).has_value()) error = -EIO;
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, __WALL);
  return error;
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

bool RestartInterruptedCall(int32_t tid) {
#if defined(__x86_64__)
  user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, tid, 0, &registers) != 0 || static_cast<int64_t>(registers.orig_rax) < 0) return false;
  // ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK: the kernel's, seen by tracers only.
  const int64_t result = static_cast<int64_t>(registers.rax);
  if (result == -512 || result == -513 || result == -514 || result == -516) return true;
  if (result != -EINTR) return false;
  std::optional<ThreadStatus> status = ReadThreadStatus(tid);
  if (!status.has_value()) return false;
  uint64_t noticed = ~status->ignored & ~(kIgnoredByDefault & ~status->caught);
  if ((status->pending & noticed) != 0) return false;
  constexpr int kSyscallInstructionBytes = 2;
  registers.rax = registers.orig_rax;
  registers.rip -= kSyscallInstructionBytes;
  registers.orig_rax = static_cast<unsigned long>(-1);
  return ptrace(PTRACE_SETREGS, tid, 0, &registers) == 0;
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
