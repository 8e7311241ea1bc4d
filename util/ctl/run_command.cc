// ghostctl run: a program under a policy, with everything that this takes.
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "lib/base/cpu_set.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "util/ctl/command.h"
#include "util/ctl/front.h"
#include "util/ctl/options.h"
#include "util/ctl/policies.h"
#include "util/ctl/programs.h"
#include "util/ctl/session.h"

namespace ghost::ctl {
namespace {

constexpr char kUsage[] =
    R"(usage: ghostctl run [OPTION]... -- PROGRAM [ARGUMENT]...

Runs PROGRAM under a ghost policy: all of its threads, and all processes that it starts, from the first instruction on.
Starts what that takes and stops it afterwards: ghostd where there is neither a ghost kernel nor a ghostd, and the
policy's agent. If the agent or ghostd dies in the middle, PROGRAM runs on under the ordinary scheduler. Signals that
ghostctl gets are passed on. Exit status: PROGRAM's, or 128 + the signal that ended it.

options:
  --policy NAME    one of those below (default: fifo_per_cpu)
  --agent PATH     an agent of anybody's instead; it finds the ghostfs at /sys/fs/ghost, too
  --agent-arg ARG  one more argument for the agent; may be given several times
  --cpus LIST      the CPUs to use, such as 0-1 (default: all); CPUs beyond the machine's are virtual ones of ghostd
  --keep           leave the agent (and ghostd) running afterwards
  --stats[=json]   at the end, print on stderr what was scheduled
  --verbose        show what the agent and ghostd print
  --ghostfs DIR    use this ghostfs

policies:
)";

constexpr char kExamples[] = R"(
examples:
  ghostctl run --policy fifo_per_cpu --cpus 0-1 -- stress-ng --cpu 4 --timeout 5s
  ghostctl run --policy shinjuku --cpus 0-3 --agent-arg --preemption_time_slice=30us -- SERVER
  ghostctl run --cpus 0-7 --stats -- xz -T4 --keep FILE
  ghostctl run --agent ./my_agent --agent-arg --verbose=1 -- sh -c 'a | b'
)";

const char* Help() {
  static const std::string& help = *new std::string(absl::StrCat(kUsage, DescribePolicies(), kExamples));
  return help.c_str();
}

// Known before anything is started: what a centralized policy's agent would say of one CPU.
absl::Status CheckCpus(const PolicyName& policy, const Session::Options& session) {
  if (!policy.centralized) return absl::OkStatus();
  CpuSet cpus;
  int num_cpus = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  if (ParseCpuList(session.cpus, &cpus) == CpuParseError::kOk && !cpus.empty()) {
    num_cpus = cpus.size();
  } else if (absl::StatusOr<std::unique_ptr<Kernel>> kernel = OpenGhostfs(session.ghostfs); kernel.ok()) {
    num_cpus = (*kernel)->PossibleCpus().value_or(num_cpus);
  }
  if (num_cpus >= 2) return absl::OkStatus();
  return WithHint(absl::InvalidArgumentError(absl::StrCat(
                      "--policy ", policy.name, " needs two CPUs or more: ", "its agent keeps one for itself")),
                  "--cpus 0-1; where the machine has fewer, a ghostd that ghostctl starts offers virtual ones");
}

absl::StatusOr<int> Run(const std::vector<std::string>& args) {
  Session::Options session;
  std::string policy, agent;
  std::string cpus = "\n";  // not given: an empty list is a mistake
  Options options;
  options.AddString("policy", &policy).AddString("agent", &agent).AddList("agent-arg", &session.agent_args);
  options.AddString("cpus", &cpus).AddString("ghostfs", &session.ghostfs).AddFlag("keep", &session.keep);
  options.AddOptionalString("stats", "text", &session.stats).AddFlag("verbose", &session.verbose);
  GHOST_RETURN_IF_ERROR(options.Parse(args, Options::kBeforeOperands));
  session.command = options.operands();
  if (session.command.empty()) return absl::InvalidArgumentError("no program given");
  if (!policy.empty() && !agent.empty()) return absl::InvalidArgumentError("--policy and --agent exclude each other");
  if (!session.stats.empty() && session.stats != "text" && session.stats != "json") {
    return absl::InvalidArgumentError("--stats is text or json");
  }
  if (cpus != "\n") {
    CpuSet parsed;
    if (ParseCpuList(cpus, &parsed) != CpuParseError::kOk || parsed.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("--cpus '", cpus, "' is no list of CPUs such as 0-3,8"));
    }
    session.cpus = cpus;
  }
  session.foreign_agent = !agent.empty();
  if (session.foreign_agent) {
    session.agent = agent;
  } else {
    if (policy.empty()) policy = "fifo_per_cpu";
    if (const PolicyName* known = FindPolicy(policy)) GHOST_RETURN_IF_ERROR(CheckCpus(*known, session));
    GHOST_ASSIGN_OR_RETURN(session.agent, FindAgent(policy));
  }
  return RunBehindFront([&session](FrontLink* front) { Session(session, front).Run(); });
}

}  // namespace

const Command kRunCommand = {"run", "run a program under a policy, starting what that takes", Help(), Run};

}  // namespace ghost::ctl
