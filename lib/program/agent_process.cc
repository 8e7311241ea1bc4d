#include "lib/program/agent_process.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "lib/program/control_socket.h"

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

}  // namespace

absl::Status AgentBody::WaitUntilOver(int cancel) {
  pollfd entry = {.fd = cancel, .events = POLLIN, .revents = 0};
  while (poll(&entry, 1, -1) < 0 && errno == EINTR) {
  }
  return absl::OkStatus();
}

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
  absl::StatusOr<ChildProcess> child = ChildProcess::Fork([&] {
    // Only the parent holds its ends: so they show when it is gone.
    control.first.reset();
    rpc.first.reset();
    return RunChild(make_body, control.second.get(), rpc.second.get());
  });
  if (!child.ok()) return child.status();
  std::unique_ptr<AgentProcess> process(new AgentProcess());
  process->child_ = *std::move(child);
  process->control_ = std::move(control.first);
  process->rpc_.emplace(std::move(rpc.first), process->pidfd());
  return process;
}

int AgentProcess::RunChild(const MakeBody& make_body, int control, int rpc) {
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
  absl::StatusOr<AgentReport> report = body->Start(control);
  RpcBuffer packet = RpcBuffer::OfStatus(report.status());
  if (report.ok()) {
    (void)packet.SerializeString(report->enclave);
    (void)packet.SerializeString(report->note);
  }
  if (!report.ok()) body.reset();  // undoes what it had done before the user hears of it
  SendControl(control, packet);
  if (!report.ok()) return 1;

  std::thread server([&] {
    prctl(PR_SET_NAME, "ap_rpc");
    ServeAgent(rpc, report->control.get(), [&body](RpcRequest& request) { return body->HandleRpc(request); });
  });
  absl::Status result = body->WaitUntilOver(control);
  shutdown(rpc, SHUT_RDWR);
  server.join();
  report->control.reset();  // before another agent can take over
  const absl::Status stopped = body->Stop();
  if (result.ok()) result = stopped;
  body.reset();
  SendControl(control, RpcBuffer::OfStatus(result));
  return result.ok() ? 0 : 1;
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

void AgentProcess::Kill() { (void)SendSignal(child_->pidfd(), SIGKILL); }

absl::Status AgentProcess::Wait() {
  if (ended_.has_value()) return *ended_;
  const ExitState state = child_->Wait();
  ended_ = state.ok() ? absl::OkStatus()
                      : absl::UnavailableError(absl::StrCat("the agent process ended: ", state.ToString()));
  if (ended_->ok()) return *ended_;
  // It may have said why before it went. What it said last counts.
  for (absl::StatusOr<RpcBuffer> packet = ReceiveControl(control_.get()); packet.ok();
       packet = ReceiveControl(control_.get())) {
    absl::Status status;
    if (packet->DeserializeStatus(&status).ok() && !status.ok()) ended_ = status;
  }
  return *ended_;
}

}  // namespace ghost
