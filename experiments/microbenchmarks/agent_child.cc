#include "experiments/microbenchmarks/agent_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/find_program.h"
#include "lib/base/status.h"
#include "lib/base/time.h"

namespace ghost {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(60);
constexpr absl::Duration kStopTimeout = absl::Seconds(30);
constexpr char kActive[] = "ghOSt active";

// In the agent's process. Returns only if it can't.
int Execute(const std::vector<char*>& words, int output) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // When its keeper is killed, it is to take its enclave down.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  dup2(output, STDOUT_FILENO);
  execv(words[0], words.data());
  return 127;
}

// In the keeper's process: ends the agent, with one signal, once `lifeline` has no other end. Returns its exit code.
int Keep(const std::vector<char*>& words, ScopedFd output, const ScopedFd& lifeline) {
  prctl(PR_SET_PDEATHSIG, 0);
  setpgid(0, 0);  // a terminal's Ctrl-C would be a second signal
  absl::StatusOr<ChildProcess> agent = ChildProcess::Fork([&] { return Execute(words, output.get()); });
  if (!agent.ok()) return 1;
  output.reset();
  pollfd wanted[2] = {{.fd = lifeline.get(), .events = POLLIN, .revents = 0},
                      {.fd = agent->pidfd().get(), .events = POLLIN, .revents = 0}};
  while (poll(wanted, 2, -1) < 0) continue;
  if (wanted[1].revents == 0) SendSignal(agent->pidfd(), SIGINT).IgnoreError();
  return agent->Wait().ShellCode();
}

}  // namespace

absl::StatusOr<std::unique_ptr<AgentChild>> AgentChild::Start(const std::string& program,
                                                              const std::vector<std::string>& arguments) {
  GHOST_ASSIGN_OR_RETURN(std::string path, FindProgram(program));
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), path);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  ScopedFd output(ends[0]), input(ends[1]);
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  ScopedFd lifeline(ends[0]), life(ends[1]);
  GHOST_ASSIGN_OR_RETURN(ChildProcess keeper, ChildProcess::Fork([&] {
                           life.reset();
                           return Keep(pointers, std::move(input), lifeline);
                         }));
  input.reset();
  std::unique_ptr<AgentChild> agent(new AgentChild(program, std::move(keeper), std::move(output), std::move(life)));
  GHOST_RETURN_IF_ERROR(agent->WaitUntilActive());
  return agent;
}

absl::Status AgentChild::WaitUntilActive() {
  const Time end = Time::Now() + kStartTimeout;
  std::string said;
  while (!absl::StrContains(said, kActive)) {
    const int64_t left_ms = absl::ToInt64Milliseconds(end - Time::Now());
    pollfd wanted = {.fd = output_.get(), .events = POLLIN, .revents = 0};
    if (left_ms <= 0 || poll(&wanted, 1, static_cast<int>(left_ms)) == 0) {
      return absl::DeadlineExceededError(
          absl::StrCat(program_, " is not active after ", absl::FormatDuration(kStartTimeout)));
    }
    char text[512];
    const ssize_t got = read(output_.get(), text, sizeof(text));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      stopped_ = true;
      const ExitState state = keeper_.Wait();
      const int code = state.code >= 1 && state.code <= 5 ? state.code : 1;
      return WithExitCode(
          WithHint(absl::UnavailableError(absl::StrCat(program_, " has ended at its start: ", state.ToString())),
                   "what it said stands above"),
          static_cast<ExitCode>(code));
    }
    said.append(text, static_cast<size_t>(got));
  }
  return absl::OkStatus();
}

absl::Status AgentChild::Stop() {
  if (std::exchange(stopped_, true)) return absl::OkStatus();
  life_.reset();
  if (!WaitForExit(keeper_.pidfd(), Time::Now() + kStopTimeout)) {
    SendSignal(keeper_.pidfd(), SIGKILL).IgnoreError();
  }
  const ExitState state = keeper_.Wait();
  if (state.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(program_, " did not end well: ", state.ToString()));
}

AgentChild::~AgentChild() { Stop().IgnoreError(); }

}  // namespace ghost
