#include "util/ctl/ghost_mounts.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/fd_passing.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "util/ctl/namespace.h"

namespace ghost::ctl {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

// mount(2) of this architecture asks the listener; everything else goes on.
absl::StatusOr<ScopedFd> InstallFilter() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
  const long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (fd < 0) return ErrnoStatus(errno, "cannot answer mounts of ghostfs");
  return ScopedFd(static_cast<int>(fd));
}

// What stands at `address` of the thread `tid`, if it is `text` with its NUL: `text` ends before what may be the last
// byte of a page.
bool Stands(pid_t tid, uint64_t address, std::string_view text) {
  char read[64];
  const size_t size = text.size() + 1;
  const iovec local = {read, size};
  const iovec remote = {reinterpret_cast<void*>(address), size};
  return process_vm_readv(tid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size) &&
         std::string_view(read, text.size()) == text && read[text.size()] == '\0';
}

bool IsOfGhostfs(const seccomp_notif& asked) {
  const auto tid = static_cast<pid_t>(asked.pid);
  return Stands(tid, asked.data.args[2], "ghost") && Stands(tid, asked.data.args[1], kSysfsMount);
}

// Until nobody is left who could ask. Whoever rewrites his strings meanwhile deceives himself only: the kernel does
// what is not answered here with all its checks.
[[noreturn]] void Answer(int listener) {
  for (;;) {
    pollfd ready = {.fd = listener, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, -1) < 0 && errno != EINTR) _exit(1);
    if ((ready.revents & POLLIN) == 0) {
      if (ready.revents != 0) _exit(0);
      continue;
    }
    seccomp_notif asked = {};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) continue;  // killed before it could be read
    seccomp_notif_resp answer = {};
    answer.id = asked.id;
    if (IsOfGhostfs(asked)) {
      answer.error = -EBUSY;
    } else {
      answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}

// The process that answers: it waits on `socket` for the listener.
[[noreturn]] void Serve(int socket) {
  prctl(PR_SET_NAME, "ghost-mounts");
  setsid();
  (void)!chdir("/");
  char byte;
  ScopedFd listener;
  // Whoever asked for it has died, or got no filter.
  if (ReceiveByteAndFd(socket, &byte, &listener, 0) != 1 || !listener.valid()) _exit(0);
  const auto fd = static_cast<unsigned>(listener.get());
  if (fd > 0) close_range(0, fd - 1, 0);
  close_range(fd + 1, ~0U, 0);
  Answer(listener.get());
}

// Forks Serve, so that it is not a child of this process. It holds `theirs`, nothing else of what is open here.
absl::Status StartServer(const ScopedFd& ours, const ScopedFd& theirs) {
  const pid_t between = fork();
  if (between < 0) return ErrnoStatus(errno, "cannot fork");
  if (between == 0) {
    const pid_t server = fork();
    if (server != 0) _exit(server < 0 ? 1 : 0);
    close(ours.get());
    Serve(theirs.get());
  }
  int status = 0;
  while (waitpid(between, &status, 0) < 0 && errno == EINTR) {
  }
  return status == 0 ? absl::OkStatus() : absl::ResourceExhaustedError("cannot fork");
}

}  // namespace

absl::Status AnswerGhostMounts() {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return ErrnoStatus(errno, "socketpair");
  ScopedFd ours(sockets[0]), theirs(sockets[1]);
  // Before there is a filter: it would hold for the process that answers, too.
  GHOST_RETURN_IF_ERROR(StartServer(ours, theirs));
  theirs.reset();
  absl::StatusOr<ScopedFd> listener = InstallFilter();
  if (!listener.ok()) {
    const int error = ErrnoOf(listener.status());
    // A process has one listener: this is a ghostctl exec in a ghostctl exec.
    const bool answered = error == EBUSY;
    return answered || error == ENOSYS || error == EINVAL ? absl::OkStatus() : listener.status();
  }
  if (!SendByteAndFd(ours.get(), 'l', listener->get(), 0)) return ErrnoStatus(errno, "cannot answer mounts of ghostfs");
  return absl::OkStatus();
}

}  // namespace ghost::ctl
