#include "util/ctl/front.h"

#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/signals.h"
#include "lib/base/status.h"
#include "util/ctl/daemon.h"

namespace ghost::ctl {
namespace {

// The keeper's last word.
struct Verdict {
  int exit_status = 0;
  bool keeper_stays = false;
};

// What ends or informs a program and so must reach the one that the front stands for.
sigset_t ForwardedSignals() {
  return SignalSet({SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM});
}

// What must not touch the keeper, which is in the terminal's foreground group, too; and SIGCHLD, which it reads.
sigset_t KeeperMask() {
  sigset_t set = ForwardedSignals();
  for (int signal : {SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD}) sigaddset(&set, signal);
  return set;
}

void Forward(const signalfd_siginfo& info, int socket) {
  FrontLink::Signal signal = {.number = static_cast<int>(info.ssi_signo), .from_terminal = info.ssi_code == SI_KERNEL};
  send(socket, &signal, sizeof(signal), MSG_NOSIGNAL);
}

// The keeper's verdict; an error if it is gone without one.
absl::StatusOr<int> Stand(int socket, pid_t keeper) {
  GHOST_ASSIGN_OR_RETURN(SignalFd signals, SignalFd::Open(ForwardedSignals()));
  for (;;) {
    pollfd fds[] = {{.fd = signals.fd(), .events = POLLIN, .revents = 0},
                    {.fd = socket, .events = POLLIN, .revents = 0}};
    if (poll(fds, 2, -1) < 0) continue;
    while (auto signal = signals.Next()) Forward(*signal, socket);
    if (fds[1].revents == 0) continue;
    Verdict verdict;
    const bool spoken = recv(socket, &verdict, sizeof(verdict), 0) == sizeof(verdict);
    if (spoken && verdict.keeper_stays) return verdict.exit_status;
    int wait_status = 0;
    waitpid(keeper, &wait_status, 0);
    if (spoken) return verdict.exit_status;
    return absl::AbortedError(absl::StrCat("its keeper process ", DescribeWaitStatus(wait_status),
                                           "; everything it had started ends with it"));
  }
}

}  // namespace

std::optional<FrontLink::Signal> FrontLink::Read() {
  Signal signal;
  const ssize_t n = recv(socket_.get(), &signal, sizeof(signal), MSG_DONTWAIT);
  if (n == sizeof(signal)) return signal;
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) gone_ = true;
  return std::nullopt;
}

void FrontLink::Finish(int exit_status, bool keeper_stays) {
  const Verdict verdict = {.exit_status = exit_status, .keeper_stays = keeper_stays};
  send(socket_.get(), &verdict, sizeof(verdict), MSG_NOSIGNAL);
  gone_ = true;
}

absl::StatusOr<int> RunBehindFront(const std::function<void(FrontLink*)>& keep) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return ErrnoStatus(errno, "cannot make a socket pair");
  }
  ScopedFd front_end(sockets[0]), keeper_end(sockets[1]);
  // Blocked in both from before the fork, so that no signal falls between.
  const sigset_t mask = KeeperMask();
  sigset_t original;
  sigprocmask(SIG_BLOCK, &mask, &original);
  const pid_t keeper = fork();
  if (keeper < 0) return ErrnoStatus(errno, "cannot fork");
  if (keeper == 0) {
    prctl(PR_SET_NAME, "ghost-keeper");
    front_end.reset();
    FrontLink link(std::move(keeper_end), original);
    keep(&link);
    _exit(0);
  }
  keeper_end.reset();
  // The front itself can be stopped and continued from the terminal.
  const sigset_t stops = SignalSet({SIGTSTP, SIGTTIN, SIGTTOU});
  sigprocmask(SIG_UNBLOCK, &stops, nullptr);
  return Stand(front_end.get(), keeper);
}

}  // namespace ghost::ctl
