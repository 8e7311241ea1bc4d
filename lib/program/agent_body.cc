#include "lib/program/agent_body.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "lib/base/poll_until.h"
#include "lib/base/status.h"
#include "lib/program/control_socket.h"
#include "lib/topology.h"

namespace ghost {
namespace {

// Between two looks whether a wait was cancelled.
constexpr absl::Duration kCancelInterval = absl::Milliseconds(100);
// A wait for the old agent that is longer than this is announced.
constexpr absl::Duration kAnnounceAfter = absl::Seconds(2);
// How long a destroyed enclave may take to vanish.
constexpr absl::Duration kDestroyTimeout = absl::Seconds(10);

bool IsReadable(int fd) {
  pollfd entry = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&entry, 1, 0) > 0;
}

std::unique_ptr<DIR, int (*)(DIR*)> OpenDirectory(const std::string& path) { return {opendir(path.c_str()), closedir}; }

// Whether the process has this file open.
bool HasOpen(const std::string& process, const std::string& file) {
  const std::string fds = absl::StrCat(process, "/fd");
  auto directory = OpenDirectory(fds);
  while (const dirent* entry = directory ? readdir(directory.get()) : nullptr) {
    char target[PATH_MAX];
    const ssize_t size = readlink(absl::StrCat(fds, "/", entry->d_name).c_str(), target, sizeof(target));
    if (size > 0 && absl::string_view(target, size) == file) return true;
  }
  return false;
}

// The process that a user signals to end the agent of this enclave: the parent of the one that is online. 0: not found
// (another user's, or in another mount namespace).
pid_t FindAgentPid(const std::string& enclave) {
  const std::string online = absl::StrCat(enclave, "/agent_online");
  auto directory = OpenDirectory("/proc");
  while (const dirent* entry = directory ? readdir(directory.get()) : nullptr) {
    pid_t pid, parent;
    if (!absl::SimpleAtoi(entry->d_name, &pid) || pid == getpid()) continue;
    const std::string process = absl::StrCat("/proc/", pid);
    if (!HasOpen(process, online)) continue;
    // "pid (comm) state ppid …"; comm may hold anything.
    absl::StatusOr<std::string> stat = ReadFile(absl::StrCat(process, "/stat"));
    if (!stat.ok()) continue;
    const std::vector<std::string> words = absl::StrSplit(stat->substr(stat->rfind(')') + 1), ' ', absl::SkipEmpty());
    const bool forked = stat->find("(ap_child)") != std::string::npos;
    if (forked && words.size() > 1 && absl::SimpleAtoi(words[1], &parent) && parent > 1) return parent;
    return pid;
  }
  return 0;
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

}  // namespace

RuntimeBody::~RuntimeBody() {
  runtime_.reset();
  enclave_.reset();
}

absl::StatusOr<EnclaveClaim> EnclaveClaim::Take(const std::string& enclave) {
  EnclaveClaim claim;
  claim.fd_.reset(open(enclave.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (claim.fd_.valid() && flock(claim.fd_.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return WithExitCode(absl::UnavailableError(absl::StrCat(enclave, " is being destroyed by its agent")),
                        ExitCode::kBusy);
  }
  // What it is, if it isn't an enclave, is said by whoever opens it as one.
  absl::StatusOr<std::string> online = ReadFile(absl::StrCat(enclave, "/agent_online"));
  claim.was_online_ = online.ok() && absl::StartsWith(*online, "1");
  claim.taken_ = Time::Now();
  return claim;
}

ScopedFd EnclaveClaim::Refuse(const std::string& enclave) {
  ScopedFd fd(open(enclave.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid() && flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) fd.reset();
  return fd;
}

void EnclaveClaim::Release() {
  if (fd_.valid()) flock(fd_.get(), LOCK_UN);
  fd_.reset();
}

absl::Status RuntimeBody::OldAgentStays() const {
  const pid_t pid = FindAgentPid(enclave_->directory());
  const std::string what = absl::StrCat(enclave_->directory(), " is served by another agent",
                                        pid > 0 ? absl::StrCat(", process ", pid) : "");
  return WithHint(WithExitCode(absl::UnavailableError(what), ExitCode::kBusy),
                  "send it SIGINT: it hands over to an agent that waits (--handover_timeout)");
}

absl::Status RuntimeBody::WaitForOldAgent(int cancel) {
  if (options_.claim == nullptr) return absl::OkStatus();  // the enclave is new
  const Time start = Time::Now();
  const Time deadline = start + std::min(options_.handover_timeout, absl::Hours(24 * 365));
  bool announced = false;
  for (bool first = true;; first = false) {
    const absl::Duration left = std::max(absl::ZeroDuration(), deadline - Time::Now());
    // The first look is short: it tells whether there is anybody at all.
    const absl::Status status =
        enclave_->WaitForOldAgent(first ? absl::ZeroDuration() : std::min(left, kCancelInterval));
    offline_ = Time::Now();
    if (status.ok()) {
      if (!first) old_agent_ = OldAgent::kLeft;
      if (first && options_.claim->was_online()) {
        old_agent_ = OldAgent::kLeftBefore;
        offline_ = options_.claim->taken();
      }
      return status;
    }
    if (ExitCodeOf(status) != ExitCode::kBusy) return status;
    if (left <= absl::ZeroDuration()) return OldAgentStays();
    if (IsReadable(cancel)) return absl::CancelledError("stopped while waiting for the old agent");
    if (!announced && offline_ - start >= kAnnounceAfter) {
      announced = true;
      std::cerr << options_.program << ": waiting: " << OldAgentStays().message() << std::endl;
    }
  }
}

absl::StatusOr<AgentReport> RuntimeBody::Start(int cancel) {
  gone_fd_.reset(eventfd(0, EFD_CLOEXEC));
  if (!gone_fd_.valid()) return ErrnoStatus(errno, "eventfd");
  if (options_.enclave.empty()) {
    GHOST_ASSIGN_OR_RETURN(enclave_, Enclave::Create(kernel_, options_.cpus));
  } else {
    GHOST_ASSIGN_OR_RETURN(enclave_, Enclave::Attach(kernel_, options_.enclave));
  }
  RuntimeOptions options;
  options.wait_for_old_agent = [this, cancel] { return WaitForOldAgent(cancel); };
  options.on_kernel_gone = [this](const absl::Status& status) { OnKernelGone(status); };
  GHOST_ASSIGN_OR_RETURN(Topology topology, Topology::OfKernel(kernel_));
  options.topology = std::make_shared<const Topology>(std::move(topology));
  // Its agents' CPUs are the machine's, which has few, and others that need them.
  constexpr absl::Duration kIdlePollWhereCpusAreShared = absl::Microseconds(50);
  if (kernel_->user_mode()) options.idle_poll = kIdlePollWhereCpusAreShared;
  runtime_ = options_.make_runtime(enclave_.get(), std::move(options));
  GHOST_RETURN_IF_ERROR(runtime_->Start());
  if (options_.claim != nullptr) options_.claim->Release();
  requests_.emplace(options_.program, runtime_.get(), options_.handle_rpc);
  return AgentReport{.enclave = enclave_->directory(), .note = TakeoverNote(), .control = ListenForOthers()};
}

ScopedFd RuntimeBody::ListenForOthers() const {
  absl::StatusOr<ScopedFd> listener = ListenForControl(enclave_->directory());
  if (listener.ok()) return *std::move(listener);
  if (ErrnoOf(listener.status()) != ENOENT) {  // a kernel of a test has no directory
    std::cerr << options_.program << ": ghostctl can't ask this agent: " << listener.status().message() << std::endl;
  }
  return ScopedFd();
}

std::string RuntimeBody::TakeoverNote() const {
  if (options_.enclave.empty()) return "";
  const double blackout_ms = absl::ToDoubleMilliseconds(Time::Now() - offline_);
  std::string note = absl::StrFormat("took over %s with %d tasks", enclave_->directory(), runtime_->CountTasks());
  if (old_agent_ == OldAgent::kLeft) absl::StrAppendFormat(&note, "; blackout: %.3f ms", blackout_ms);
  if (old_agent_ == OldAgent::kLeftBefore) absl::StrAppendFormat(&note, "; blackout: at most %.3f ms", blackout_ms);
  return note;
}

RpcResponse RuntimeBody::HandleRpc(RpcRequest& request) { return requests_->Handle(request); }

void RuntimeBody::OnKernelGone(const absl::Status& status) {
  {
    std::lock_guard<std::mutex> lock(gone_mutex_);
    gone_status_ = status;
  }
  eventfd_write(gone_fd_.get(), 1);
}

absl::Status RuntimeBody::WaitUntilOver(int cancel) {
  pollfd fds[2] = {{.fd = cancel, .events = POLLIN, .revents = 0},
                   {.fd = gone_fd_.get(), .events = POLLIN, .revents = 0}};
  while (poll(fds, 2, -1) < 0 && errno == EINTR) {
  }
  std::lock_guard<std::mutex> lock(gone_mutex_);
  return gone_status_;
}

absl::Status RuntimeBody::Stop() {
  const std::string directory = enclave_->directory();
  // Asked for before a waiting agent can see this one go, held until the enclave is gone.
  ScopedFd alone;
  if (enclave_->created_here()) alone = EnclaveClaim::Refuse(directory);
  const bool keep = enclave_->created_here() && !alone.valid() && Exists(directory);
  runtime_->Stop();
  if (options_.print_counters) PrintCounters();
  if (options_.at_end) options_.at_end(*runtime_);
  if (keep) {
    enclave_->Keep();
    std::cerr << options_.program << ": " << directory << " is left to the agent that waits for it" << std::endl;
  }
  const bool gone = enclave_->created_here() && !keep;
  requests_.reset();
  runtime_.reset();
  enclave_.reset();
  // The kernel takes an enclave down in the background.
  if (gone && !PollUntil(kDestroyTimeout, [&] { return !Exists(directory); })) {
    return WithHint(absl::DeadlineExceededError(absl::StrCat(directory, " is still there")),
                    absl::StrCat("echo destroy > ", directory, "/ctl"));
  }
  return absl::OkStatus();
}

void RuntimeBody::PrintCounters() const {
  std::string text;
  const auto line = [&text](absl::string_view name, const RuntimeCounters& counters) {
    absl::StrAppend(&text, name, ":");
    for (const RuntimeCounterName& counter : kRuntimeCounters) {
      absl::StrAppend(&text, " ", counter.name, " ", counters.*counter.member);
    }
    absl::StrAppend(&text, "\n");
  };
  for (int cpu : enclave_->cpus()) line(absl::StrCat("cpu ", cpu), runtime_->Counters(cpu));
  line("all cpus", runtime_->TotalCounters());
  std::cerr << text << std::flush;
}

}  // namespace ghost
