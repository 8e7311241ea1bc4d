// ghostd: a ghost kernel in user mode. Serves ghostfs on a stock Linux kernel, and holds real threads for its agents.
//
// This file only wires the parts together: the core decides (core.h), the driver holds threads (linux_driver.h), the
// FUSE server speaks to the kernel, the guardian tidies up after a crash. One thread runs all of it.
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernel/abi/abi_version.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/invariant_checker.h"
#include "kernel/usermode/linux/bpf_host.h"
#include "kernel/usermode/linux/cpu_follower.h"
#include "kernel/usermode/linux/event_loop.h"
#include "kernel/usermode/linux/fuse_mount.h"
#include "kernel/usermode/linux/fuse_server.h"
#include "kernel/usermode/linux/guardian.h"
#include "kernel/usermode/linux/linux_driver.h"
#include "kernel/usermode/linux/open_gate.h"
#include "kernel/usermode/linux/ptrace_permission.h"
#include "kernel/usermode/linux/region_store.h"
#include "lib/base/cpu_set.h"
#include "lib/base/file.h"
#include "lib/base/signals.h"
#include "lib/base/status.h"
#include "lib/cli.h"

ABSL_FLAG(
    int, cpus, 0,
    "How many CPUs to offer, 1 to 1024. Not more than the machine has: they are its CPUs, and tasks and agents are "
    "pinned to them. More: all are virtual, a CPU is then a slot in which one task runs at a time. 0: as many as "
    "the machine has.");
ABSL_FLAG(
    std::string, mount, "",
    "Where to mount ghostfs; the parent directory must exist. Empty: /run/ghost as root, else $XDG_RUNTIME_DIR/ghost.");
ABSL_FLAG(std::string, ghostfs, "", "The same as --mount, by the name that it has for other programs.");
ABSL_FLAG(std::string, abi, "69-91", "ABI versions to offer, as numbers and ranges.");
ABSL_FLAG(
    std::string, gate, "auto",
    "What holds threads: bpf (ptrace and BPF programs), syscall (ptrace alone: each system call of a thread stops "
    "it twice, exact but slower), or auto: bpf, and where that is refused, syscall.");
ABSL_FLAG(
    bool, check, false,
    "Check after every event that all is consistent (no task is lost, or on two CPUs), and end with exit code 1 if "
    "something is not. For tests: slower.");
ABSL_FLAG(bool, foreground, true, "Stay in the foreground: the only mode (let a service manager or & do the rest).");

namespace ghost::usermode {
namespace {

constexpr char kName[] = "ghostd";
constexpr int kEntriesPerFullCheck = 64;  // --check looks at everything so often; it takes a while with many tasks
constexpr int kPriority = 60;             // above agents' 50: whoever waits for ghostd's answer waits for nobody else

struct Settings {
  int cpus = 1;
  bool real_cpus = true;
  std::string mount;
  std::string abi_text;
  std::vector<uint32_t> abis;
  GateKind gate = GateKind::kAuto;
};

absl::Status FlagError(absl::string_view message, absl::string_view hint) {
  return WithHint(absl::InvalidArgumentError(message), hint);
}

CpuSet OnlineCpus() {
  CpuSet online;
  absl::StatusOr<std::string> text = ReadFile("/sys/devices/system/cpu/online");
  if (text.ok() && ParseCpuList(*text, &online) == CpuParseError::kOk && !online.empty()) return online;
  return CpuSet::FirstN(static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

absl::Status ReadCpus(Settings* settings) {
  const CpuSet online = OnlineCpus();
  settings->cpus = absl::GetFlag(FLAGS_cpus);
  if (settings->cpus < 0 || settings->cpus > CpuSet::kMaxCpus) {
    return FlagError(absl::StrCat("--cpus ", settings->cpus, ": out of range"),
                     absl::StrCat("give a number from 1 to ", CpuSet::kMaxCpus));
  }
  if (settings->cpus == 0) settings->cpus = online.size();
  // With a hole in the machine's CPU numbers, CPU i cannot be the machine's CPU i for all of them.
  settings->real_cpus = CpuSet::FirstN(settings->cpus).IsSubsetOf(online);
  return absl::OkStatus();
}

absl::Status ReadAbis(Settings* settings) {
  const std::string text = absl::GetFlag(FLAGS_abi);
  CpuSet numbers;  // the same notation
  if (ParseCpuList(text, &numbers) != CpuParseError::kOk || numbers.empty()) {
    return FlagError(absl::StrCat("--abi ", text, ": not a list of versions"), "give numbers and ranges, as 69,84-91");
  }
  for (int number : numbers) {
    if (FindAbi(static_cast<uint32_t>(number)) == nullptr) {
      return WithExitCode(FlagError(absl::StrCat("--abi ", text, ": version ", number, " is unknown"),
                                    absl::StrCat("known are ", KnownAbis())),
                          ExitCode::kUsage);
    }
    settings->abis.push_back(static_cast<uint32_t>(number));
  }
  settings->abi_text = ToCpuList(numbers);
  return absl::OkStatus();
}

absl::Status ReadMount(Settings* settings) {
  std::string path = absl::GetFlag(FLAGS_mount);
  if (path.empty()) path = absl::GetFlag(FLAGS_ghostfs);
  if (path.empty() && geteuid() == 0) path = "/run/ghost";
  if (path.empty()) {
    const char* runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime == nullptr || *runtime == '\0') {
      return FlagError("no place to mount ghostfs: XDG_RUNTIME_DIR is not set", "say where: --mount PATH");
    }
    path = absl::StrCat(runtime, "/ghost");
  }
  GHOST_ASSIGN_OR_RETURN(settings->mount, CanonicalMountPath(path));
  return absl::OkStatus();
}

absl::Status ReadGate(Settings* settings) {
  const std::string text = absl::GetFlag(FLAGS_gate);
  if (text == "auto") {
    settings->gate = GateKind::kAuto;
  } else if (text == "bpf") {
    settings->gate = GateKind::kBpf;
  } else if (text == "syscall") {
    settings->gate = GateKind::kSyscall;
  } else {
    return FlagError(absl::StrCat("--gate ", text, ": no such gate"), "give auto, bpf or syscall");
  }
  return absl::OkStatus();
}

absl::StatusOr<Settings> ReadSettings() {
  Settings settings;
  if (!absl::GetFlag(FLAGS_foreground)) {
    return FlagError("--noforeground: there is no other mode", "put it in the background: ghostd &");
  }
  GHOST_RETURN_IF_ERROR(ReadCpus(&settings));
  GHOST_RETURN_IF_ERROR(ReadAbis(&settings));
  GHOST_RETURN_IF_ERROR(ReadGate(&settings));
  GHOST_RETURN_IF_ERROR(ReadMount(&settings));
  return settings;
}

// SIGINT and SIGTERM as a descriptor; a terminal that goes away and a closed stdout are no reasons to end, and a
// terminal's Ctrl-Z none to stop: everybody whom ghostd schedules would stop as well.
absl::StatusOr<SignalFd> EndSignals() {
  signal(SIGHUP, SIG_IGN);
  for (int stop : {SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU}) signal(stop, SIG_IGN);
  return SignalFd::Open(SignalSet({SIGINT, SIGTERM}));
}

// No page fault and no ordinary thread stands between an event and the answer to it. Without the rights: as it is.
// Returns whether this thread is of real-time priority now.
bool RaisePriority() {
  rlimit limit = {};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  // With a limit, MCL_FUTURE would make later mmaps fail.
  if (geteuid() == 0 || limit.rlim_cur == RLIM_INFINITY) mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  const sched_param param = {.sched_priority = kPriority};
  return sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) == 0;
}

// The parts, in the order in which they come; they go in the opposite one.
class Ghostd {
 public:
  absl::Status Start(const Settings& settings) {
    GHOST_ASSIGN_OR_RETURN(end_signals_, EndSignals());
    GHOST_ASSIGN_OR_RETURN(MountLock lock, MountLock::Acquire(settings.mount));
    lock_ = std::make_unique<MountLock>(std::move(lock));
    GHOST_ASSIGN_OR_RETURN(ptrace_scope_, CheckPtrace());
    GHOST_ASSIGN_OR_RETURN(regions_, RegionStore::Create());
    // Before the driver and the core take their memory; it keeps both locks until it is done.
    Guardian::Options guardian;
    guardian.keep_fds = {lock_->fd(), regions_->lock_fd()};
    GHOST_ASSIGN_OR_RETURN(guardian_, Guardian::Start(guardian));
    guardian_->SetSharedMemory(regions_->directory());

    LinuxDriverOptions driver;
    driver.num_cpus = settings.cpus;
    driver.real_cpus = settings.real_cpus;
    driver.loop = &loop_;
    driver.regions = regions_.get();
    driver.guardian = guardian_.get();
    driver.gate = settings.gate;
    GHOST_ASSIGN_OR_RETURN(driver_, LinuxDriver::Create(driver));

    CoreOptions core;
    core.num_cpus = settings.cpus;
    core.abi_versions = settings.abis;
    core.uid = geteuid();
    core.gid = getegid();
    if (absl::GetFlag(FLAGS_check)) checker_ = std::make_unique<InvariantChecker>(driver_.get(), CheckerOptions());
    core_ = std::make_unique<Core>(core, checker_ != nullptr ? static_cast<Driver*>(checker_.get()) : driver_.get());
    if (checker_ != nullptr) core_->AddObserver(checker_.get());
    core_->SetBpfLoader(&bpf_host_.emplace(settings.cpus, [this](const std::string& line) { driver_->Log(line); }));
    GHOST_RETURN_IF_ERROR(Serve(settings.mount));
    if (RaisePriority()) server_->ObserveIoctls([this](Tid tid) { follower_.OnRequest(tid); });
    return absl::OkStatus();
  }

  std::string_view GateName() const { return driver_->GateName(); }
  const std::string& GateNote() const { return driver_->GateNote(); }
  PtraceScope ptrace_scope() const { return ptrace_scope_; }

  // Until a signal, or until somebody unmounts ghostfs. False: it was found to be inconsistent.
  bool Run() {
    loop_.Watch(end_signals_.fd(), [this] { loop_.Stop(); });
    GuardTheGuardian();
    loop_.Run();
    return checker_ == nullptr || checker_->violations() == 0;
  }

  // Order: nobody new, nobody waiting, no thread held, nothing left behind.
  void End() {
    mount_->Unmount();
    server_->Close();
    driver_->Shutdown();
    guardian_->SetMount("", false);
    regions_->RemoveAll();
    guardian_->SetSharedMemory("");
    core_.reset();
  }

 private:
  InvariantChecker::Options CheckerOptions() {
    return {.on_violation =
                [this](const std::string& what) {
                  if (checker_->violations() > 1) return;
                  std::cerr << kName << ": inconsistent: " << what << "\nhint: a bug of ghostd's own; please report it"
                            << std::endl;
                  loop_.Stop();
                },
            .full_check = kEntriesPerFullCheck};
  }

  absl::Status Serve(const std::string& path) {
    guardian_->SetMount(path, /*remove_mount_directory=*/access(path.c_str(), F_OK) != 0);
    absl::StatusOr<FuseMount> mount = FuseMount::Create(path);
    if (!mount.ok()) {
      guardian_->SetMount("", false);
      return mount.status();
    }
    mount_ = std::make_unique<FuseMount>(*std::move(mount));
    server_ = std::make_unique<FuseServer>(mount_->TakeDevice(), core_.get(), regions_.get(), &loop_, [this] {
      std::cerr << kName << ": " << mount_->path() << " was unmounted: ending" << std::endl;
      loop_.Stop();
    });
    driver_->Connect(core_.get(), server_.get());
    return absl::OkStatus();
  }

  void GuardTheGuardian() {
    guardian_end_ = guardian_->OpenEnd();
    if (!guardian_end_.valid()) return;
    loop_.Watch(guardian_end_.get(), [this] {
      loop_.Unwatch(guardian_end_.get());
      std::cerr << kName << ": the guardian (pid " << guardian_->pid() << ") is gone: starting another" << std::endl;
      if (absl::Status status = guardian_->Restart(); !status.ok()) {
        std::cerr << kName << ": " << status.message()
                  << ": should ghostd crash now, threads stay pinned\nhint: restart ghostd" << std::endl;
        return;
      }
      GuardTheGuardian();
    });
  }

  EventLoop loop_;
  PtraceScope ptrace_scope_ = PtraceScope::kOthers;
  SignalFd end_signals_;
  std::unique_ptr<MountLock> lock_;
  std::unique_ptr<RegionStore> regions_;
  std::unique_ptr<Guardian> guardian_;
  ScopedFd guardian_end_;
  std::unique_ptr<LinuxDriver> driver_;
  std::unique_ptr<InvariantChecker> checker_;
  std::optional<BpfHost> bpf_host_;
  std::unique_ptr<Core> core_;
  std::unique_ptr<FuseMount> mount_;
  CpuFollower follower_;
  std::unique_ptr<FuseServer> server_;
};

std::string CpuText(const Settings& settings) {
  const std::string cpus = ToCpuList(CpuSet::FirstN(settings.cpus));
  if (settings.real_cpus) return absl::StrCat(cpus, " (real)");
  return absl::StrCat(cpus, " (virtual, on ", OnlineCpus().size(), " real)");
}

ProgramInfo Program() {
  return {
      .name = kName,
      .summary = "A ghost kernel in user mode: lets agents schedule real threads on any Linux kernel.",
      .examples = {"ghostd &                          # this machine's CPUs, at /run/ghost",
                   "ghostd --cpus 8 &                 # 8 virtual CPUs",
                   "ghostd --mount /tmp/ghost &       # elsewhere; then: export GHOSTFS=/tmp/ghost",
                   "ghostd --abi 69 &                 # as the oldest public ghost kernel",
                   "ls $GHOSTFS; cat $GHOSTFS/version"},
      .notes =
          "It prints \"ghostd: serving ...\" when it is ready. SIGINT and SIGTERM end it: all threads then run on\n"
          "under Linux's own scheduler, as they do when it is killed. Exit codes: 0 ended, 1 failed, 2 usage,\n"
          "4 permission, 5 its mount is already served.\n",
  };
}

int Main(int argc, char** argv) {
  const CommandLine line = ParseCommandLine(Program(), argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  absl::StatusOr<Settings> settings = ReadSettings();
  if (!settings.ok()) return Report(kName, settings.status());
  Ghostd ghostd;
  if (absl::Status status = ghostd.Start(*settings); !status.ok()) return Report(kName, status);
  if (!ghostd.GateNote().empty()) {
    // In one write: others print at the same time.
    std::cerr << absl::StrCat(
        kName, ": threads are held at each of their system calls, which is slower: ", ghostd.GateNote(), "\n");
  }
  if (ghostd.ptrace_scope() == PtraceScope::kConsenting) {
    std::cerr << kName << ": Yama's ptrace_scope is 1: only programs that this user's `ghostctl run` starts can enter"
              << " an enclave\nhint: sysctl kernel.yama.ptrace_scope=0, or run ghostd as root" << std::endl;
  }
  std::cout << kName << ": serving " << settings->mount << ", CPUs " << CpuText(*settings) << ", ABI "
            << settings->abi_text << ", gate: " << ghostd.GateName() << std::endl;
  std::cout << kName << ": export GHOSTFS=" << settings->mount << std::endl;
  const bool consistent = ghostd.Run();
  ghostd.End();
  return consistent ? 0 : 1;
}

}  // namespace
}  // namespace ghost::usermode

int main(int argc, char** argv) { return ghost::usermode::Main(argc, argv); }
