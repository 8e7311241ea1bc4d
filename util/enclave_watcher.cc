// enclave_watcher: how long an enclave is without an agent while one takes over from another.
//
// It watches agent_online: 1, then 0, then 1 again; what lies between the last two is the blackout. A watcher that asks
// for the change from outside sees it a wake-up late at both ends; agents that take over also say it themselves.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/file.h"
#include "lib/base/process.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "lib/cli.h"
#include "lib/ghost_flags.h"
#include "lib/ghostfs.h"
#include "util/ctl/enclaves.h"

ABSL_FLAG(int32_t, agent_pid, -1, "The agent to signal once it is online; -1: signal nobody, only watch.");
ABSL_FLAG(bool, sigkill, false, "Signal with SIGKILL instead of SIGINT.");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(60), "How long to wait for each change of agent_online.");

namespace ghost {
namespace {

constexpr char kName[] = "enclave_watcher";
// A server that does not tell of changes is still asked this often.
constexpr int kRecheckMs = 100;

class OnlineFile {
 public:
  static absl::StatusOr<OnlineFile> Open(const std::string& enclave) {
    OnlineFile file;
    file.path_ = absl::StrCat(enclave, "/agent_online");
    GHOST_ASSIGN_OR_RETURN(file.fd_, OpenFile(file.path_, O_RDONLY));
    return file;
  }

  // Waits until it says `online`, and returns when it was seen to. DeadlineExceeded: it does not. Unavailable: the
  // enclave is gone. FailedPrecondition: it changed, and back, faster than it could be read.
  absl::StatusOr<Time> Await(bool online, absl::Duration timeout) {
    const Time deadline = Time::Now() + timeout;
    bool told = false;
    for (;;) {
      char value = 0;
      if (pread(fd_.get(), &value, 1, 0) < 1) {
        return WithHint(absl::UnavailableError(absl::StrCat(path_, " is gone: the enclave was destroyed")),
                        "an agent that made the enclave destroys it, unless another one waits: start that one first");
      }
      const Time now = Time::Now();
      if ((value == '1') == online) return now;
      if (told) {
        return WithHint(absl::FailedPreconditionError("agent_online changed and was back before it could be read"),
                        "give the watcher a real-time priority: chrt -f 10 enclave_watcher ...");
      }
      if (now >= deadline) return TooLate(online, timeout);
      pollfd entry = {.fd = fd_.get(), .events = POLLPRI, .revents = 0};
      const int64_t left_ms = absl::ToInt64Milliseconds(deadline - now) + 1;
      told = poll(&entry, 1, static_cast<int>(std::min<int64_t>(left_ms, kRecheckMs))) > 0;
    }
  }

 private:
  absl::Status TooLate(bool online, absl::Duration timeout) const {
    const absl::Status status = absl::DeadlineExceededError(
        absl::StrCat(path_, " is still ", online ? 0 : 1, " after ", absl::FormatDuration(timeout)));
    return WithHint(status, online ? "start an agent: fifo_per_cpu_agent --enclave ENCLAVE"
                                   : "end the agent: kill -INT ITS_PID, or --agent_pid here");
  }

  std::string path_;
  ScopedFd fd_;
};

absl::StatusOr<ScopedFd> AgentToSignal() {
  const int32_t pid = absl::GetFlag(FLAGS_agent_pid);
  if (pid == -1) return ScopedFd();
  absl::StatusOr<ScopedFd> pidfd = OpenPidfd(pid);
  if (pidfd.ok()) return pidfd;
  return WithHint(
      WithExitCode(absl::NotFoundError(absl::StrCat("--agent_pid ", pid, ": no such process")), ExitCode::kUsage),
      "ghostctl status shows the agents' pids");
}

absl::Status CheckFlags() {
  const int32_t pid = absl::GetFlag(FLAGS_agent_pid);
  const auto wrong = [](absl::string_view what, absl::string_view hint) {
    return WithHint(absl::InvalidArgumentError(what), hint);
  };
  if (absl::GetFlag(FLAGS_enclave).empty()) return wrong("--enclave is missing", "ghostctl enclave ls");
  if (absl::GetFlag(FLAGS_timeout) <= absl::ZeroDuration()) return wrong("--timeout is a time above 0", "such as 30s");
  if (absl::GetFlag(FLAGS_sigkill) && pid == -1) return wrong("--sigkill needs --agent_pid", "ghostctl status");
  if (pid == 0 || pid < -1) return wrong(absl::StrCat("--agent_pid ", pid, " is no process"), "ghostctl status");
  return absl::OkStatus();
}

absl::Status Main() {
  GHOST_RETURN_IF_ERROR(CheckFlags());
  const absl::Duration timeout = absl::GetFlag(FLAGS_timeout);
  GHOST_ASSIGN_OR_RETURN(const ScopedFd agent, AgentToSignal());
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, OpenGhostfs(absl::GetFlag(FLAGS_ghostfs)));
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave,
                         ctl::FindEnclave(*kernel, absl::GetFlag(FLAGS_enclave)));
  GHOST_ASSIGN_OR_RETURN(OnlineFile online, OnlineFile::Open(enclave->directory()));

  GHOST_RETURN_IF_ERROR(online.Await(true, timeout).status());
  absl::PrintF("Watching %s.\n", enclave->directory());
  const Time signalled = Time::Now();
  if (agent.valid()) {
    GHOST_RETURN_IF_ERROR(SendSignal(agent, absl::GetFlag(FLAGS_sigkill) ? SIGKILL : SIGINT));
  }
  GHOST_ASSIGN_OR_RETURN(const Time offline, online.Await(false, timeout));
  GHOST_ASSIGN_OR_RETURN(const Time back, online.Await(true, timeout));

  GHOST_ASSIGN_OR_RETURN(const ctl::EnclaveView view, ctl::ViewEnclave(*enclave));
  const double blackout_ms = absl::ToDoubleMilliseconds(back - offline);
  absl::PrintF("Watcher measured blackout of : %.3f msec, ~%.3f usec per task (%d tasks)\n", blackout_ms,
               blackout_ms * 1e3 / static_cast<double>(std::max<int64_t>(1, view.num_tasks)), view.num_tasks);
  if (agent.valid()) {
    absl::PrintF("Watcher kill-to-agent_offline : %.3f msec\n", absl::ToDoubleMilliseconds(offline - signalled));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line = ghost::ParseCommandLine(
      {.name = ghost::kName,
       .summary = "measures for how long an enclave has no agent while a new one takes over",
       .examples = {"enclave_watcher --enclave enclave_1",
                    "enclave_watcher --enclave enclave_1 --agent_pid 4711            # ends it with SIGINT",
                    "enclave_watcher --enclave enclave_1 --agent_pid 4711 --sigkill"},
       .notes = "The new agent is to wait already when the old one ends: fifo_per_cpu_agent --enclave enclave_1 &\n"
                "It waits for agent_online 1, 0 and 1 again, --timeout for each.\n"},
      argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const absl::Status status = ghost::Main();
  return status.ok() ? 0 : ghost::Report(ghost::kName, status);
}
