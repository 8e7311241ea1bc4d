// ghostctl move: threads of running processes into an enclave, or out of ghost.
#include <errno.h>
#include <sched.h>
#include <string.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "util/ctl/command.h"
#include "util/ctl/enclaves.h"
#include "util/ctl/options.h"
#include "util/ctl/threads.h"

namespace ghost::ctl {
namespace {

constexpr char kHelp[] =
    R"(usage: ghostctl move [--enclave ENCLAVE] PID...
       ghostctl move [--enclave ENCLAVE] --cgroup PATH
       ghostctl move --out PID...

Puts running processes under ghost: every thread of each PID enters the enclave, and so does every thread and child that
they start from then on. Looks again until no new thread turns up. A thread that is in another enclave leaves that one
first.
Each thread that cannot be moved is one line on stderr; exit status 1 if there was any.

options:
  --enclave ENCLAVE    a number, a name (enclave_2) or a path; may be left out if there is only one
  --cgroup PATH        all processes of this cgroup and of those below it (v1 or v2)
  --threads all|leader all threads (default), or only those whose ids are given
  --out                back to the ordinary scheduler (SCHED_OTHER) instead
  --ghostfs DIR        the ghostfs to use

examples:
  ghostctl move 4711
  ghostctl move --enclave 2 $(pgrep nginx)
  ghostctl move --cgroup system.slice/postgresql.service
  ghostctl move --out 4711
)";

// Processes that fork in the middle converge soon: their children are born inside.
constexpr int kMaxScans = 100;

struct Request {
  std::vector<pid_t> pids;
  std::string cgroup;
  bool leader_only = false;
};

// The threads that the request names, as of now. A pid that is not there (any more) is in `missing`.
absl::StatusOr<std::vector<pid_t>> Scan(const Request& request, std::set<pid_t>* missing) {
  std::vector<pid_t> pids = request.pids;
  if (!request.cgroup.empty()) {
    GHOST_ASSIGN_OR_RETURN(std::vector<pid_t> members, ProcessesInCgroup(request.cgroup));
    pids.insert(pids.end(), members.begin(), members.end());
  }
  if (request.leader_only) return pids;
  std::vector<pid_t> tids;
  for (pid_t pid : pids) {
    absl::StatusOr<std::vector<pid_t>> threads = ThreadsOf(pid);
    if (threads.ok()) {
      tids.insert(tids.end(), threads->begin(), threads->end());
    } else {
      missing->insert(pid);
    }
  }
  return tids;
}

int LeaveGhost(pid_t tid) {
  const sched_param param = {.sched_priority = 0};
  return sched_setscheduler(tid, SCHED_OTHER, &param) == 0 ? 0 : errno;
}

// What errno from a write to `tasks` means for this thread.
std::string Explain(pid_t tid, int error) {
  absl::StatusOr<ThreadState> state = StateOfThread(tid);
  if (!state.ok() || error == ESRCH) return "no such thread (or it is ending)";
  if (state->kernel_thread) return "a kernel thread";
  if (error == EPERM && state->tracer != 0) return absl::StrCat("held by a debugger (process ", state->tracer, ")");
  if (error == EPERM) return "not permitted: another user's, or already under ghost";
  if (error == EXDEV || error == ENODEV) return "the enclave is being destroyed";
  if (error == ENOMEM) return "the enclave is full (no free status word)";
  return strerror(error);
}

class Mover {
 public:
  // A null enclave: out of ghost.
  Mover(Kernel* kernel, KernelEnclave* enclave) : kernel_(kernel), enclave_(enclave) {}

  absl::Status Move(const Request& request) {
    named_.insert(request.pids.begin(), request.pids.end());
    std::set<pid_t> missing;
    for (int scan = 0; scan < kMaxScans; ++scan) {
      GHOST_ASSIGN_OR_RETURN(std::vector<pid_t> tids, Scan(request, &missing));
      bool found_new = false;
      for (pid_t tid : tids) {
        if (!seen_.insert(tid).second) continue;
        found_new = true;
        MoveOne(tid);
      }
      if (scan == 0) {
        for (pid_t pid : missing) Fail(pid, ESRCH);
      }
      if (!found_new) return absl::OkStatus();
    }
    return absl::UnavailableError(absl::StrCat("new threads still turn up after ", kMaxScans, " looks"));
  }

  int moved() const { return moved_; }
  int unchanged() const { return unchanged_; }
  int failed() const { return failed_; }

 private:
  void MoveOne(pid_t tid) {
    int error = enclave_ == nullptr ? LeaveGhost(tid) : Enter(tid);
    if (error == EPERM && enclave_ != nullptr && InGhost(tid)) {
      if (IsTask(*enclave_, tid)) {
        ++unchanged_;
        return;
      }
      error = LeaveGhost(tid);
      if (error == 0) error = Enter(tid);
    }
    if (error == 0) {
      ++moved_;
    } else if (error != ESRCH || named_.contains(tid)) {
      Fail(tid, error);
    }  // else: a thread that ended between the look and the move
  }

  int Enter(pid_t tid) {
    absl::Status status = enclave_->WriteFile("tasks", absl::StrCat(tid));
    return status.ok() ? 0 : ErrnoOf(status);
  }

  static bool IsTask(KernelEnclave& enclave, pid_t tid) {
    absl::StatusOr<std::vector<pid_t>> tids = TasksOf(enclave);
    return tids.ok() && std::find(tids->begin(), tids->end(), tid) != tids->end();
  }

  bool InGhost(pid_t tid) {
    absl::StatusOr<std::vector<EnclaveInfo>> infos = kernel_->ListEnclaves();
    if (!infos.ok()) return false;
    for (const EnclaveInfo& info : *infos) {
      absl::StatusOr<std::unique_ptr<KernelEnclave>> enclave = kernel_->AttachEnclave(info.directory);
      if (enclave.ok() && IsTask(**enclave, tid)) return true;
    }
    return false;
  }

  void Fail(pid_t tid, int error) {
    ++failed_;
    absl::FPrintF(stderr, "ghostctl move: %d: %s\n", tid, Explain(tid, error));
  }

  Kernel* const kernel_;
  KernelEnclave* const enclave_;
  std::set<pid_t> named_;  // by the user
  std::set<pid_t> seen_;
  int moved_ = 0;
  int unchanged_ = 0;
  int failed_ = 0;
};

absl::StatusOr<int> MoveAll(Kernel* kernel, KernelEnclave* enclave, const Request& request, const std::string& where) {
  Mover mover(kernel, enclave);
  GHOST_RETURN_IF_ERROR(mover.Move(request));
  absl::PrintF("%d thread%s moved %s", mover.moved(), mover.moved() == 1 ? "" : "s", where);
  if (mover.unchanged() > 0) absl::PrintF(", %d were there already", mover.unchanged());
  if (mover.failed() > 0) absl::PrintF(", %d failed", mover.failed());
  absl::PrintF("\n");
  return mover.failed() > 0 ? 1 : 0;
}

absl::StatusOr<int> Run(const std::vector<std::string>& args) {
  std::string ghostfs, enclave_text, threads = "all";
  bool out = false;
  Request request;
  Options options;
  options.AddString("ghostfs", &ghostfs).AddString("enclave", &enclave_text).AddString("threads", &threads);
  options.AddString("cgroup", &request.cgroup).AddFlag("out", &out);
  GHOST_RETURN_IF_ERROR(options.Parse(args, Options::kAnywhere));
  if (threads != "all" && threads != "leader") return absl::InvalidArgumentError("--threads is all or leader");
  if (out && !enclave_text.empty()) return absl::InvalidArgumentError("--out and --enclave exclude each other");
  request.leader_only = threads == "leader";
  for (const std::string& operand : options.operands()) {
    int64_t pid = 0;
    GHOST_RETURN_IF_ERROR(ParseNumber(operand, "a process id", 1, INT32_MAX, &pid));
    request.pids.push_back(static_cast<pid_t>(pid));
  }
  if (request.pids.empty() && request.cgroup.empty())
    return absl::InvalidArgumentError("no process and no cgroup given");

  if (out) return MoveAll(nullptr, nullptr, request, "to the ordinary scheduler");
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, OpenGhostfs(ghostfs));
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave, FindEnclave(*kernel, enclave_text));
  return MoveAll(kernel.get(), enclave.get(), request, absl::StrCat("into ", enclave->directory()));
}

}  // namespace

const Command kMoveCommand = {"move", "put running processes under ghost, or take them out", kHelp, Run};

}  // namespace ghost::ctl
