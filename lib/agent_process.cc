#include "lib/agent_process.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <iostream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// What a terminal or `killall` sends to every process of a program: the parent answers it, the child must not.
constexpr int kIgnoredByChild[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE};

// Control packets from child to parent are RpcBuffers: a Status, then what goes with it.
void SendControl(int socket, const RpcBuffer& buffer) {
  // A parent that is gone has killed us already.
  (void)send(socket, buffer.bytes().data(), buffer.bytes().size(), MSG_NOSIGNAL);
}

absl::StatusOr<RpcBuffer> ReceiveControl(int socket) {
  std::array<char, RpcBuffer::kCapacity> bytes;
  ssize_t size;
  do {
    size = recv(socket, bytes.data(), bytes.size(), 0);
    // ECONNRESET, once: the child ended before it read all that it was sent. What it said comes after.
  } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
  if (size < 0) return ErrnoStatus(errno, "hearing from the agent process");
  if (size == 0) return absl::UnavailableError("the agent process is dead");
  return RpcBuffer::FromBytes(absl::string_view(bytes.data(), size));
}

// A Status too long for a packet is cut, not lost.
RpcBuffer StatusPacket(const absl::Status& status) {
  RpcBuffer buffer;
  if (!buffer.SerializeStatus(status).ok()) {
    buffer = RpcBuffer();
    (void)buffer.SerializeStatus(absl::Status(status.code(), status.message().substr(0, 1024)));
  }
  return buffer;
}

absl::Status HowItEnded(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return absl::UnavailableError(
        absl::StrCat("the agent process was killed by signal ", signal, " (", strsignal(signal), ")"));
  }
  const int code = WEXITSTATUS(wait_status);
  if (code == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the agent process ended with exit code ", code));
}

void WaitReadable(int fd) {
  pollfd entry = {.fd = fd, .events = POLLIN, .revents = 0};
  while (poll(&entry, 1, -1) < 0 && errno == EINTR) {
  }
}

}  // namespace

int AgentProcess::CountOtherThreads() {
  std::unique_ptr<DIR, int (*)(DIR*)> tasks(opendir("/proc/self/task"), closedir);
  if (tasks == nullptr) return 0;
  int count = -1;  // the caller
  while (const dirent* entry = readdir(tasks.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  return count;
}

absl::StatusOr<std::unique_ptr<AgentProcess>> AgentProcess::Fork(const MakeBody& make_body) {
  GHOST_ASSIGN_OR_RETURN(auto control, MakeRpcSockets());
  GHOST_ASSIGN_OR_RETURN(auto rpc, MakeRpcSockets());
  // What is buffered would otherwise be written by both.
  std::cout.flush();
  fflush(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "starting the agent process");
  if (pid == 0) {
    control.first.reset();
    rpc.first.reset();
    RunChild(make_body, parent, std::move(control.second), std::move(rpc.second));
  }
  std::unique_ptr<AgentProcess> process(new AgentProcess());
  process->pid_ = pid;
  process->control_ = std::move(control.first);
  process->pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process->pidfd_.valid()) return ErrnoStatus(errno, "watching the agent process");
  process->rpc_.emplace(std::move(rpc.first), process->pidfd_.get());
  return process;
}

void AgentProcess::RunChild(const MakeBody& make_body, pid_t parent, ScopedFd control, ScopedFd rpc) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it died before it could matter
  setpgid(0, 0);
  sigset_t unblocked;
  sigemptyset(&unblocked);
  for (int signo : kIgnoredByChild) {
    signal(signo, SIG_IGN);
    sigaddset(&unblocked, signo);
  }
  pthread_sigmask(SIG_UNBLOCK, &unblocked, nullptr);
  prctl(PR_SET_NAME, "ap_child");

  std::unique_ptr<AgentBody> body = make_body();
  absl::StatusOr<AgentReport> report = body->Start(control.get());
  RpcBuffer packet = StatusPacket(report.status());
  if (report.ok()) {
    (void)packet.SerializeString(report->enclave);
    (void)packet.SerializeString(report->note);
  }
  if (!report.ok()) body.reset();  // undoes what it had done before the user hears of it
  SendControl(control.get(), packet);
  if (!report.ok()) _exit(1);

  std::thread server([&] {
    prctl(PR_SET_NAME, "ap_rpc");
    ServeRpc(rpc.get(), [&body](RpcRequest& request) { return body->HandleRpc(request); });
  });
  WaitReadable(control.get());
  shutdown(rpc.get(), SHUT_RDWR);
  server.join();
  const absl::Status stopped = body->Stop();
  body.reset();
  SendControl(control.get(), StatusPacket(stopped));
  std::cout.flush();
  fflush(nullptr);
  _exit(stopped.ok() ? 0 : 1);
}

AgentProcess::~AgentProcess() {
  if (ended_.has_value()) return;
  Kill();
  (void)Wait();
}

absl::StatusOr<AgentReport> AgentProcess::TakeReport() {
  absl::StatusOr<RpcBuffer> packet = ReceiveControl(control_.get());
  if (!packet.ok()) {
    const absl::Status ended = Wait();
    return ended.ok() ? absl::UnavailableError("the agent process ended before it was ready") : ended;
  }
  absl::Status status;
  GHOST_RETURN_IF_ERROR(packet->DeserializeStatus(&status));
  GHOST_RETURN_IF_ERROR(status);
  AgentReport report;
  GHOST_ASSIGN_OR_RETURN(report.enclave, packet->DeserializeString());
  GHOST_ASSIGN_OR_RETURN(report.note, packet->DeserializeString());
  return report;
}

void AgentProcess::RequestStop() { (void)send(control_.get(), "", 1, MSG_NOSIGNAL | MSG_DONTWAIT); }

void AgentProcess::Kill() {
  if (!ended_.has_value()) kill(pid_, SIGKILL);  // not reaped yet, so the number is still its own
}

absl::Status AgentProcess::Wait() {
  if (ended_.has_value()) return *ended_;
  int wait_status = 0;
  while (waitpid(pid_, &wait_status, 0) < 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "waiting for the agent process");
  }
  ended_ = HowItEnded(wait_status);
  if (ended_->ok()) return *ended_;
  // It may have said why before it went.
  pollfd entry = {.fd = control_.get(), .events = POLLIN, .revents = 0};
  if (poll(&entry, 1, 0) > 0) {
    absl::StatusOr<RpcBuffer> packet = ReceiveControl(control_.get());
    absl::Status status;
    if (packet.ok() && packet->DeserializeStatus(&status).ok() && !status.ok()) ended_ = status;
  }
  return *ended_;
}

}  // namespace ghost
