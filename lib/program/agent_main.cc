#include "lib/program/agent_main.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/signals.h"
#include "lib/base/status.h"
#include "lib/ghost_flags.h"
#include "lib/ghostfs.h"
#include "lib/program/agent_body.h"
#include "lib/program/agent_process.h"
#include "lib/program/agent_requests.h"
#include "lib/topology.h"

ABSL_FLAG(std::string, ghost_cpus, "all", "The CPUs to schedule, as a list such as 0-3,8; not used with --enclave.");
ABSL_FLAG(absl::Duration, handover_timeout, absl::Seconds(30),
          "With --enclave: how long to wait for the agent that serves it to end; 0: do not wait.");
ABSL_FLAG(bool, stats, false, "Print what was scheduled, per CPU, to stderr at the end.");

namespace ghost {
namespace {

constexpr absl::Duration kRpcTimeout = absl::Seconds(5);
constexpr int kDumpIntervalMs = 1000;
// How long agents may take to end after a signal before they are killed.
constexpr int kStopTimeoutMs = 60'000;

// The same status with words before its message.
absl::Status Prefixed(absl::string_view prefix, const absl::Status& status) {
  absl::Status result(status.code(), absl::StrCat(prefix, status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& value) { result.SetPayload(url, value); });
  return result;
}

absl::StatusOr<CpuSet> CpusToSchedule(const Topology& topology) {
  const std::string text = absl::GetFlag(FLAGS_ghost_cpus);
  if (text == "all") return topology.all_cpus();
  absl::StatusOr<CpuSet> cpus = topology.ParseCpus(text);
  if (!cpus.ok()) return Prefixed("--ghost_cpus: ", cpus.status());
  return cpus;
}

// As AttachEnclave understands it.
std::string EnclaveDirectory(const Kernel& kernel, const std::string& enclave) {
  return absl::StrContains(enclave, '/') ? enclave : absl::StrCat(kernel.root(), "/", enclave);
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

void SayFlushed(absl::string_view line) { std::cout << line << std::endl; }

// Signals as a descriptor: nothing ever runs in a signal handler.
class Signals {
 public:
  // Before the fork, so that none can end the parent from then on.
  Signals() {
    sigemptyset(&set_);
    for (int signo : {SIGINT, SIGTERM, SIGUSR1}) Take(signo);
    struct sigaction hangup;
    sigaction(SIGHUP, nullptr, &hangup);
    if (hangup.sa_handler != SIG_IGN) Take(SIGHUP);  // not under nohup
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set_, nullptr);
  }
  absl::Status Open() {
    GHOST_ASSIGN_OR_RETURN(fd_, SignalFd::Open(set_));
    return absl::OkStatus();
  }
  int fd() const { return fd_.fd(); }
  // The next signal, or 0.
  int Next() {
    const auto signal = fd_.Next();
    return signal.has_value() ? static_cast<int>(signal->ssi_signo) : 0;
  }

 private:
  void Take(int signo) {
    // A shell starts background jobs with SIGINT ignored; ignored signals would never arrive here.
    signal(signo, SIG_DFL);
    sigaddset(&set_, signo);
  }
  sigset_t set_;
  SignalFd fd_;
};

// The parent's life from the fork on.
class Parent {
 public:
  // `root`: of ghostfs.
  Parent(const AgentProgram& program, const std::string& root, Signals* signals, std::unique_ptr<AgentProcess> child)
      : name_(program.info.name),
        farewell_(program.farewell),
        root_(root),
        signals_(signals),
        child_(std::move(child)) {}

  // Until the child has ended. Returns main's exit code.
  int Run() {
    for (;;) {
      pollfd fds[3] = {{.fd = signals_->fd(), .events = POLLIN, .revents = 0},
                       {.fd = state_ == State::kStarting ? child_->control() : -1, .events = POLLIN, .revents = 0},
                       {.fd = child_->pidfd(), .events = POLLIN, .revents = 0}};
      const int ready = poll(fds, 3, TimeoutMs());
      if (ready < 0 && errno != EINTR) return Report(name_, ErrnoStatus(errno, "poll"));
      if (ready == 0 && state_ == State::kStopping) return EndAtOnce("the agents did not end in time");
      if (ready == 0) Dump(/*only_if_tasks=*/absl::GetFlag(FLAGS_verbose) < 2);
      if (ready <= 0) continue;
      // In this order: what the child said before it died counts more than that it died.
      if (fds[1].revents != 0) {
        if (std::optional<int> code = OnReport(); code.has_value()) return *code;
      } else if (fds[2].revents != 0) {
        return OnChildDead();
      }
      for (int signo = signals_->Next(); signo != 0; signo = signals_->Next()) {
        if (std::optional<int> code = OnSignal(signo); code.has_value()) return *code;
      }
    }
  }

 private:
  enum class State { kStarting, kActive, kStopping };

  int TimeoutMs() const {
    if (state_ == State::kStopping) return kStopTimeoutMs;
    return state_ == State::kActive && absl::GetFlag(FLAGS_verbose) > 0 ? kDumpIntervalMs : -1;
  }

  std::optional<int> OnReport() {
    absl::StatusOr<AgentReport> report = child_->TakeReport();
    if (!report.ok()) {
      (void)child_->Wait();
      return Report(name_, report.status());
    }
    enclave_ = report->enclave;
    state_ = State::kActive;
    SayFlushed("Initialization complete, ghOSt active.");
    if (!report->note.empty()) std::cerr << name_ << ": " << report->note << std::endl;
    return std::nullopt;
  }

  std::optional<int> OnSignal(int signo) {
    if (signo == SIGUSR1) {
      if (state_ == State::kActive) Dump(/*only_if_tasks=*/false);
      return std::nullopt;
    }
    if (state_ == State::kStopping) return EndAtOnce("ended by a second signal");
    state_ = State::kStopping;
    child_->RequestStop();
    return std::nullopt;
  }

  void Dump(bool only_if_tasks) {
    const absl::StatusOr<RpcResponse> response =
        child_->Rpc({.code = kRpcDumpState, .arg0 = only_if_tasks ? 1 : 0}, kRpcTimeout);
    // A dead child is noticed by its pidfd.
    if (absl::IsDeadlineExceeded(response.status())) {
      std::cerr << name_ << ": " << response.status().message() << std::endl;
    }
  }

  int EndAtOnce(absl::string_view why) {
    child_->Kill();
    (void)child_->Wait();
    absl::Status status = absl::AbortedError(why);
    return Report(name_, enclave_.empty() ? status : WithHint(status, Leftover()));
  }

  int OnChildDead() {
    const absl::Status ended = child_->Wait();
    if (state_ == State::kStopping && (ended.ok() || absl::IsCancelled(ended))) {
      SayFlushed(farewell_);
      return static_cast<int>(ExitCode::kOk);
    }
    if (ended.ok()) return Report(name_, absl::InternalError("the agent process ended by itself"));
    if (enclave_.empty()) return Report(name_, ended);  // it never was active
    if (!Exists(absl::StrCat(root_, "/version"))) {
      return Report(name_, WithHint(absl::UnavailableError(absl::StrCat("ghostd has ended: ", root_, " is gone")),
                                    "start ghostd, then this agent; the threads go on under CFS"));
    }
    if (!Exists(enclave_)) return Report(name_, absl::UnavailableError(absl::StrCat(enclave_, " was destroyed")));
    const absl::Status failed = WithExitCode(ended, ExitCode::kFailed);
    return Report(name_, HintOf(failed).empty() ? WithHint(failed, Leftover()) : failed);
  }

  std::string Leftover() const {
    return absl::StrCat(enclave_, " stays with its tasks: go on with '", name_, " --enclave ", enclave_,
                        "', or end it with 'echo destroy > ", enclave_, "/ctl'");
  }

  const std::string name_;
  const std::string farewell_;
  const std::string root_;
  Signals* const signals_;
  const std::unique_ptr<AgentProcess> child_;
  State state_ = State::kStarting;
  std::string enclave_;
};

absl::StatusOr<int> Run(const AgentProgram& program) {
  if (program.check_flags) GHOST_RETURN_IF_ERROR(program.check_flags());
  std::unique_ptr<Kernel> kernel;
  if (program.open_kernel) {
    GHOST_ASSIGN_OR_RETURN(kernel, program.open_kernel());
  } else {
    GHOST_ASSIGN_OR_RETURN(kernel, OpenGhostfs(absl::GetFlag(FLAGS_ghostfs)));
  }
  RuntimeBody::Options options = {.program = program.info.name,
                                  .enclave = absl::GetFlag(FLAGS_enclave),
                                  .cpus = {},
                                  .claim = nullptr,
                                  .handover_timeout = absl::GetFlag(FLAGS_handover_timeout),
                                  .print_counters = absl::GetFlag(FLAGS_stats),
                                  .make_runtime = program.make_runtime,
                                  .handle_rpc = program.handle_rpc,
                                  .at_end = program.at_end};
  GHOST_ASSIGN_OR_RETURN(const Topology topology, Topology::OfKernel(kernel.get()));
  if (options.enclave.empty()) {
    GHOST_ASSIGN_OR_RETURN(options.cpus, CpusToSchedule(topology));
  }
  if (program.before_start) GHOST_RETURN_IF_ERROR(program.before_start(topology, options.cpus));
  if (!options.enclave.empty()) {
    // From now on: whoever sees the next line may end the old agent.
    GHOST_ASSIGN_OR_RETURN(EnclaveClaim claim, EnclaveClaim::Take(EnclaveDirectory(*kernel, options.enclave)));
    options.claim = std::make_shared<EnclaveClaim>(std::move(claim));
  }
  SayFlushed("Initializing...");
  if (const int others = AgentProcess::CountOtherThreads(); others > 0 && absl::GetFlag(FLAGS_emit_fork_warnings)) {
    std::cerr << program.info.name << ": forking with " << others << " other threads" << std::endl;
  }
  Signals signals;
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<AgentProcess> child,
                         AgentProcess::Fork([&] { return std::make_unique<RuntimeBody>(kernel.get(), options); }));
  GHOST_RETURN_IF_ERROR(signals.Open());
  return Parent(program, kernel->root(), &signals, std::move(child)).Run();
}

}  // namespace

std::string AgentNotes(absl::string_view what, absl::string_view more) {
  return absl::StrCat(
      "signals:\n"
      "  SIGINT, SIGTERM   end; an enclave that it made is destroyed, its threads go on under CFS\n"
      "  SIGUSR1           dump ",
      what, " to stderr\n", more,
      "in-place upgrade: start a new agent with --enclave, then send SIGINT to the old one. The new one takes\n"
      "the threads over, and says for how long nobody scheduled them.\n");
}

int RunAgentProgram(const AgentProgram& program, int argc, char** argv) {
  const CommandLine line = ParseCommandLine(program.info, argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  const absl::StatusOr<int> code = Run(program);
  return code.ok() ? *code : Report(program.info.name, code.status());
}

}  // namespace ghost
