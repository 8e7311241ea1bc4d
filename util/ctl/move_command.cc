// ghostctl move: threads of running processes into an enclave, or out of ghost.
#include <signal.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "lib/base/signals.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "util/ctl/cgroup_follower.h"
#include "util/ctl/cgroups.h"
#include "util/ctl/command.h"
#include "util/ctl/enclaves.h"
#include "util/ctl/mover.h"
#include "util/ctl/options.h"

namespace ghost::ctl {
namespace {

constexpr char kProgram[] = "ghostctl move";

constexpr char kHelp[] =
    R"(usage: ghostctl move [--enclave ENCLAVE] PID...
       ghostctl move [--enclave ENCLAVE] --cgroup PATH|--unit NAME [--follow]
       ghostctl move --out PID...

Puts running processes under ghost: every thread of each PID enters the enclave, and so do all threads and children that
they start from then on. Looks again until no new thread turns up. A thread that is in another enclave leaves that one
first.
Each PID that cannot be moved is one line on stderr, with the reason; of other threads, one line for each reason. Exit
status 1 if there was any. Threads that end meanwhile are none.

options:
  --enclave ENCLAVE    a number, a name (enclave_2) or a path; may be left out if there is only one
  --cgroup PATH        all processes of this cgroup and of those below it (v1 or v2): its directory, or its name in a
                       hierarchy
  --unit NAME          the same for the cgroup of a systemd unit
  --follow             go on with whoever comes into the cgroup later, until SIGINT, SIGTERM, or the cgroup's end
  --interval TIME      with --follow: between two looks (default: 100ms). Who is put into the cgroup is noticed at once;
                       who is born into it (clone3 with CLONE_INTO_CGROUP) is found by the next look
  --threads all|leader all threads (default), or only those whose ids are given
  --out                back to the ordinary scheduler (SCHED_OTHER) instead
  --ghostfs DIR        the ghostfs to use

examples:
  ghostctl move 4711
  ghostctl move --enclave 2 $(pgrep nginx)
  ghostctl move --cgroup system.slice/postgresql.service
  ghostctl move --unit nginx --follow
  ghostctl move --out 4711
)";

struct Request {
  std::vector<pid_t> pids;
  std::string cgroup;  // a directory, or ""
  bool leader_only = false;
  bool follow = false;
  absl::Duration interval = absl::Milliseconds(100);
};

absl::Status MoveCgroup(const Request& request, Mover* mover) {
  // From here on a signal ends it in order.
  SignalFd signals;
  if (request.follow) {
    GHOST_ASSIGN_OR_RETURN(signals, SignalFd::Open(SignalSet({SIGINT, SIGTERM, SIGHUP})));
  }
  CgroupFollower follower(request.cgroup, request.leader_only, mover);
  if (!request.follow) return follower.MoveAll();
  absl::Status status = follower.Follow(request.interval, signals.fd());
  if (!absl::IsNotFound(status)) return status;
  absl::FPrintF(stderr, "%s: %s\n", kProgram, status.message());  // the cgroup's end is ours
  return absl::OkStatus();
}

absl::StatusOr<int> Move(Kernel* kernel, KernelEnclave* enclave, const Request& request) {
  Mover mover(kProgram, kernel, enclave);
  for (pid_t pid : request.pids) {
    GHOST_RETURN_IF_ERROR(mover.Move(pid, request.leader_only, Mover::Named::kYes));
  }
  const absl::Status status = request.cgroup.empty() ? absl::OkStatus() : MoveCgroup(request, &mover);
  absl::PrintF("%s%s\n", mover.Summary(), request.cgroup.empty() ? "" : absl::StrCat(" from ", request.cgroup));
  GHOST_RETURN_IF_ERROR(status);
  return mover.failed() > 0 ? 1 : 0;
}

absl::Status ParseInterval(const std::string& text, absl::Duration* interval) {
  if (absl::ParseDuration(text, interval) && *interval >= absl::Milliseconds(1) && *interval <= absl::Hours(1)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("--interval '", text, "' is no time from 1ms to 1h"));
}

absl::StatusOr<int> Run(const std::vector<std::string>& args) {
  std::string ghostfs, enclave_text, cgroup, unit, interval, threads = "all";
  bool out = false;
  Request request;
  Options options;
  options.AddString("ghostfs", &ghostfs).AddString("enclave", &enclave_text).AddString("threads", &threads);
  options.AddString("cgroup", &cgroup).AddString("unit", &unit).AddFlag("out", &out);
  options.AddFlag("follow", &request.follow).AddString("interval", &interval);
  GHOST_RETURN_IF_ERROR(options.Parse(args, Options::kAnywhere));
  if (threads != "all" && threads != "leader") return absl::InvalidArgumentError("--threads is all or leader");
  if (out && !enclave_text.empty()) return absl::InvalidArgumentError("--out and --enclave exclude each other");
  if (!cgroup.empty() && !unit.empty()) return absl::InvalidArgumentError("--cgroup and --unit exclude each other");
  const bool has_cgroup = !cgroup.empty() || !unit.empty();
  if (request.follow && !has_cgroup) return absl::InvalidArgumentError("--follow needs --cgroup or --unit");
  if (!interval.empty() && !request.follow) return absl::InvalidArgumentError("--interval needs --follow");
  if (!interval.empty()) GHOST_RETURN_IF_ERROR(ParseInterval(interval, &request.interval));
  request.leader_only = threads == "leader";
  for (const std::string& operand : options.operands()) {
    int64_t pid = 0;
    GHOST_RETURN_IF_ERROR(ParseNumber(operand, "a process id", 1, INT32_MAX, &pid));
    request.pids.push_back(static_cast<pid_t>(pid));
  }
  if (request.pids.empty() && !has_cgroup) return absl::InvalidArgumentError("no process and no cgroup given");
  if (has_cgroup) {
    GHOST_ASSIGN_OR_RETURN(request.cgroup,
                           unit.empty() ? FindCgroup(cgroup, CgroupMounts()) : FindUnit(unit, CgroupMounts()));
  }

  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, OpenGhostfs(ghostfs));
  if (out) return Move(kernel.get(), nullptr, request);
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave, FindEnclave(*kernel, enclave_text));
  return Move(kernel.get(), enclave.get(), request);
}

}  // namespace

const Command kMoveCommand = {"move", "put running processes under ghost, or take them out", kHelp, Run};

}  // namespace ghost::ctl
