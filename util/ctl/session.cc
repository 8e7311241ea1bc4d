#include "util/ctl/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/find_program.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "util/ctl/agent_enclave.h"
#include "util/ctl/command.h"
#include "util/ctl/namespace.h"
#include "util/ctl/stats.h"

namespace ghost::ctl {
namespace {

constexpr char kProgram[] = "ghostctl run";
// What agents and ghostd print when they serve.
constexpr char kAgentReady[] = "ghOSt active";
constexpr char kGhostdReady[] = "ghostd: serving";
constexpr absl::Duration kStartTimeout = absl::Seconds(30);
constexpr absl::Duration kStopTimeout = absl::Seconds(10);

// Ends with the program as the child's image, or with 126 or 127. Waits at `gate` for one byte: until then the child
// can be moved into the enclave. No byte: give up.
// `ghostd` may trace it even where Yama lets only parents do that; its children are traced from birth.
[[noreturn]] void BecomeCommand(const std::vector<std::string>& argv, int gate, pid_t parent, pid_t ghostd,
                                const sigset_t& mask) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (ghostd > 0) prctl(PR_SET_PTRACER, static_cast<unsigned long>(ghostd), 0, 0, 0);
  if (getppid() != parent) _exit(1);
  char byte;
  ssize_t n;
  do {
    n = read(gate, &byte, 1);
  } while (n < 0 && errno == EINTR);
  if (n != 1) _exit(1);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  _exit(ExecProgram(argv));
}

}  // namespace

Session::Session(const Options& options, FrontLink* front) : options_(options), front_(front) {}

void Session::Say(const std::string& line) { absl::FPrintF(stderr, "%s: %s\n", kProgram, line); }

void Session::Run() {
  poller_.Watch(front_->fd(), [this] { OnFront(); });

  int exit_status = 0;
  if (absl::Status status = Start(); !status.ok()) {
    exit_status = abort_signal_ != 0 ? 128 + abort_signal_ : Report(kProgram, status);
    stopping_ = true;
  } else {
    AwaitCommand();
    exit_status = ExitStatusOf(command_status_);
    if (!options_.stats.empty()) PrintStats();
    if (options_.keep && agent_->running()) {
      Say(absl::StrCat("the agent (pid ", agent_->pid(), ") goes on serving ", enclave_->directory(),
                       "; end it with: kill ", agent_->pid()));
      front_->Finish(exit_status, /*keeper_stays=*/true);
      StayBehind();
      return;
    }
  }
  stopping_ = true;
  StopAgent();
  if (ghostd_ != nullptr && ghostd_->running() && GhostdIsUsed()) {
    Say(absl::StrCat("ghostd (pid ", ghostd_->pid(), ") stays until the other enclaves in it are gone"));
    front_->Finish(exit_status, /*keeper_stays=*/true);
    StayBehind();
    return;
  }
  StopGhostd();
  front_->Finish(exit_status, /*keeper_stays=*/false);
}

absl::Status Session::Start() {
  GHOST_ASSIGN_OR_RETURN(sigchld_, SignalFd::Open(SignalSet({SIGCHLD})));
  poller_.Watch(sigchld_.fd(), [this] { OnSigchld(); });
  GHOST_RETURN_IF_ERROR(FindOrStartKernel());
  GHOST_RETURN_IF_ERROR(StartAgent());
  GHOST_RETURN_IF_ERROR(FindAgentsEnclave());
  return StartCommand();
}

absl::Status Session::FindOrStartKernel() {
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = OpenGhostfs(options_.ghostfs);
  if (kernel.ok()) {
    kernel_ = *std::move(kernel);
    return absl::OkStatus();
  }
  // A kernel that is there but of no use is not helped by a second one; nor is a wrong --ghostfs.
  if (!options_.ghostfs.empty() || FindGhostfs().ok()) return kernel.status();
  const char* wanted = getenv("GHOSTFS");
  ghostd_mount_ = wanted != nullptr && *wanted != '\0' ? wanted : DefaultGhostdMount();
  if (absl::Status status = StartGhostd(); !status.ok()) {
    return WithHint(status, "`ghostctl doctor` says what is missing; without any of it, ghostsim simulates the policy");
  }
  GHOST_ASSIGN_OR_RETURN(kernel_, OpenGhostfs(ghostd_mount_));
  return absl::OkStatus();
}

absl::Status Session::StartGhostd() {
  GHOST_ASSIGN_OR_RETURN(std::string path, FindProgram("ghostd"));
  Daemon::Options daemon = {.name = "ghostd",
                            .argv = {path, absl::StrCat("--mount=", ghostd_mount_)},
                            .ready_text = kGhostdReady,
                            .verbose = options_.verbose};
  daemon.signal_mask = front_->original_mask();
  // CPUs beyond the machine's are virtual ones, which ghostd offers when asked.
  CpuSet wanted;
  const int machine_cpus = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  if (ParseCpuList(options_.cpus, &wanted) == CpuParseError::kOk && wanted.Last() >= machine_cpus) {
    daemon.argv.push_back(absl::StrCat("--cpus=", wanted.Last() + 1));
  }
  ghostd_ = std::make_unique<Daemon>(&poller_, std::move(daemon));
  GHOST_RETURN_IF_ERROR(ghostd_->Start());
  return WaitUntilReady(ghostd_.get(), kStartTimeout);
}

absl::Status Session::StartAgent() {
  std::string cpus = options_.cpus;
  if (cpus.empty()) {
    GHOST_ASSIGN_OR_RETURN(int num_cpus, kernel_->PossibleCpus());
    cpus = ToCpuList(CpuSet::FirstN(num_cpus));
  }
  const std::string root = kernel_->root();
  Daemon::Options daemon = {.name = options_.agent.substr(options_.agent.find_last_of('/') + 1),
                            .argv = {options_.agent},
                            .environment = {absl::StrCat("GHOSTFS=", root)},
                            .ready_text = kAgentReady,
                            .verbose = options_.verbose};
  daemon.signal_mask = front_->original_mask();
  daemon.argv.push_back(absl::StrCat("--ghost_cpus=", cpus));
  daemon.argv.insert(daemon.argv.end(), options_.agent_args.begin(), options_.agent_args.end());
  if (options_.foreign_agent && root != kSysfsMount) {
    daemon.prepare = [root] { return EnterGhostNamespace(root); };
  }
  agent_ = std::make_unique<Daemon>(&poller_, std::move(daemon));
  GHOST_RETURN_IF_ERROR(agent_->Start());
  return WaitUntilReady(agent_.get(), kStartTimeout);
}

absl::Status Session::FindAgentsEnclave() {
  GHOST_ASSIGN_OR_RETURN(std::string name, EnclaveOfAgent(agent_->pid()));
  GHOST_ASSIGN_OR_RETURN(enclave_, kernel_->AttachEnclave(name));
  return absl::OkStatus();
}

absl::Status Session::StartCommand() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot make a pipe");
  ScopedFd gate(fds[0]), opener(fds[1]);
  const pid_t parent = getpid();
  setenv("GHOSTFS", kernel_->root().c_str(), 1);
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "cannot fork");
  if (pid == 0) {
    // Its own copy of the write end would keep the gate from ever reporting the keeper's death.
    opener.reset();
    BecomeCommand(options_.command, gate.get(), parent, ghostd_ == nullptr ? 0 : ghostd_->pid(),
                  front_->original_mask());
  }
  command_pid_ = pid;
  command_ = Command::kRunning;
  if (absl::Status status = enclave_->WriteFile("tasks", absl::StrCat(pid)); !status.ok()) {
    kill(pid, SIGKILL);
    const absl::Status ended = WaitUntil([this] { return command_ == Command::kEnded; }, kStopTimeout, "the end of it");
    return status;
  }
  if (write(opener.get(), "g", 1) != 1) return ErrnoStatus(errno, "cannot start the program");
  return absl::OkStatus();
}

void Session::AwaitCommand() {
  while (command_ == Command::kRunning) poller_.Wait();
}

absl::Status Session::WaitUntil(const std::function<bool()>& done, absl::Duration timeout, const std::string& what) {
  const Time deadline = Time::Now() + timeout;
  while (!done()) {
    if (!stopping_ && command_ == Command::kNone && (abort_signal_ != 0 || front_->gone())) {
      return absl::AbortedError("interrupted");
    }
    if (!poller_.Wait(deadline) && Time::Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat(what, " took more than ", absl::FormatDuration(timeout)));
    }
  }
  return absl::OkStatus();
}

absl::Status Session::WaitUntilReady(Daemon* daemon, absl::Duration timeout) {
  GHOST_RETURN_IF_ERROR(WaitUntil([daemon] { return daemon->ready() || !daemon->running(); }, timeout,
                                  absl::StrCat("the start of ", daemon->name())));
  if (daemon->ready()) return absl::OkStatus();
  const int status = daemon->wait_status();
  return WithExitCode(
      absl::UnavailableError(absl::StrCat(daemon->name(), " did not start: it ", DescribeWaitStatus(status))),
      WIFEXITED(status) && WEXITSTATUS(status) != 0 ? static_cast<ExitCode>(WEXITSTATUS(status)) : ExitCode::kFailed);
}

void Session::OnFront() {
  while (std::optional<FrontLink::Signal> signal = front_->Read()) {
    if (command_ == Command::kNone) {
      abort_signal_ = signal->number;
    } else if (command_ == Command::kRunning && !signal->from_terminal) {
      kill(command_pid_, signal->number);
    }
  }
  if (!front_->gone()) return;
  poller_.Unwatch(front_->fd());
  if (command_ == Command::kRunning) kill(command_pid_, SIGKILL);
}

void Session::OnSigchld() {
  while (sigchld_.Next().has_value()) continue;
  int status = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid == command_pid_) {
      command_ = Command::kEnded;
      command_status_ = status;
    } else if (agent_ != nullptr && pid == agent_->pid()) {
      agent_->OnExit(status);
      OnAgentEnded();
    } else if (ghostd_ != nullptr && pid == ghostd_->pid()) {
      ghostd_->OnExit(status);
      OnGhostdEnded();
    }
  }
}

void Session::OnAgentEnded() {
  if (stopping_ || enclave_ == nullptr) return;
  // Without an agent its tasks would wait for ever.
  const bool destroyed = enclave_->WriteFile("ctl", "destroy").ok();
  const bool matters = command_ == Command::kRunning && (ghostd_ == nullptr || ghostd_->running());
  if (!matters) return;
  Say(absl::StrCat("the agent ", DescribeWaitStatus(agent_->wait_status()), ": the program runs on under the ordinary ",
                   "scheduler", destroyed ? "" : " (its enclave was gone already)"));
}

void Session::OnGhostdEnded() {
  if (stopping_ || command_ != Command::kRunning) return;
  Say(absl::StrCat("ghostd ", DescribeWaitStatus(ghostd_->wait_status()),
                   ": the program runs on under the ordinary scheduler"));
}

void Session::PrintStats() {
  // On stderr: stdout is the program's.
  absl::StatusOr<nlohmann::ordered_json> stats = ReadKernelStats(*kernel_);
  if (!stats.ok()) {
    Report(kProgram, stats.status());
    return;
  }
  absl::FPrintF(stderr, "%s", options_.stats == "json" ? stats->dump(2) + "\n" : StatsToText(*stats));
}

void Session::Stop(Daemon* daemon) {
  const auto ended = [daemon] { return !daemon->running(); };
  daemon->Kill(SIGINT);
  if (WaitUntil(ended, kStopTimeout, "").ok()) return;
  Say(absl::StrCat(daemon->name(), " (pid ", daemon->pid(), ") does not end on SIGINT: killed"));
  daemon->Kill(SIGKILL);
  if (absl::Status status = WaitUntil(ended, kStopTimeout, "the end of it"); !status.ok()) Report(kProgram, status);
}

void Session::StopAgent() {
  if (agent_ == nullptr) return;
  Stop(agent_.get());
  // An agent that ends gracefully has done this; one that was killed has not.
  if (enclave_ != nullptr) enclave_->WriteFile("ctl", "destroy").IgnoreError();
}

void Session::StopGhostd() {
  if (ghostd_ == nullptr) return;
  kernel_.reset();
  enclave_.reset();
  Stop(ghostd_.get());
  // Its guardian does this; where that was killed, too, a dead mount would block the next start.
  umount2(ghostd_mount_.c_str(), MNT_DETACH);
}

bool Session::GhostdIsUsed() {
  if (kernel_ == nullptr) return false;
  absl::StatusOr<std::vector<EnclaveInfo>> infos = kernel_->ListEnclaves();
  return infos.ok() && !infos->empty();
}

void Session::StayBehind() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
  stopping_ = true;
  poller_.Unwatch(front_->fd());
  for (Daemon* daemon : {agent_.get(), ghostd_.get()}) {
    if (daemon != nullptr) daemon->Silence();
  }
  while (agent_ != nullptr && agent_->running()) poller_.Wait();
  // Nothing tells when others' enclaves go: look once a second.
  while (ghostd_ != nullptr && ghostd_->running() && GhostdIsUsed()) {
    poller_.Wait(Time::Now() + absl::Seconds(1));
  }
  StopGhostd();
}

}  // namespace ghost::ctl
