#include "experiments/microbenchmarks/agent_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "lib/base/status.h"
#include "lib/base/time.h"

namespace ghost {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kStartTimeout = absl::Seconds(60);
constexpr absl::Duration kStopTimeout = absl::Seconds(30);
constexpr char kActive[] = "ghOSt active";

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  std::vector<fs::path> folders;
  std::error_code ignored;
  fs::path folder = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (int i = 0; i < 3 && !folder.empty(); ++i, folder = folder.parent_path()) folders.push_back(folder);
  if (const char* path = getenv("PATH"); path != nullptr) {
    for (absl::string_view entry : absl::StrSplit(path, ':', absl::SkipEmpty())) folders.push_back(std::string(entry));
  }
  for (const fs::path& place : folders) {
    const fs::path path = place / name;
    if (fs::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0) return path.string();
  }
  return WithHint(absl::NotFoundError(absl::StrCat("there is no program ", name, " beside this one or in $PATH")),
                  absl::StrCat("bazel build -c opt ", name));
}

// In the child. Returns only if it can't.
int Execute(const std::vector<char*>& words, int output) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // So that it takes its enclave down.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  dup2(output, STDOUT_FILENO);
  execv(words[0], words.data());
  return 127;
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
  GHOST_ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Fork([&] { return Execute(pointers, input.get()); }));
  input.reset();
  std::unique_ptr<AgentChild> agent(new AgentChild(program, std::move(child), std::move(output)));
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
      const ExitState state = child_.Wait();
      const int code = std::clamp(state.ok() || state.signal != 0 ? 1 : state.code, 1, 5);
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
  SendSignal(child_.pidfd(), SIGINT).IgnoreError();
  if (!WaitForExit(child_.pidfd(), Time::Now() + kStopTimeout)) {
    SendSignal(child_.pidfd(), SIGKILL).IgnoreError();
  }
  const ExitState state = child_.Wait();
  if (state.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(program_, " did not end well: ", state.ToString()));
}

AgentChild::~AgentChild() { Stop().IgnoreError(); }

}  // namespace ghost
