// ghostctl enclave ls|create|destroy|repair.
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/cpu_set.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "util/ctl/adopt.h"
#include "util/ctl/command.h"
#include "util/ctl/enclaves.h"
#include "util/ctl/options.h"
#include "util/ctl/programs.h"

namespace ghost::ctl {
namespace {

constexpr char kHelp[] =
    R"(usage: ghostctl enclave ls
       ghostctl enclave create [--cpus LIST]
       ghostctl enclave destroy ENCLAVE...|all
       ghostctl enclave repair [--adopt POLICY] [--dry-run]

ls        lists the enclaves: number, ABI, CPUs, whether an agent serves it, tasks.
create    makes an enclave of LIST (default: every CPU that is free) and prints its directory; it stays until destroyed.
destroy   ends enclaves: their agents are killed, their tasks run on under the ordinary scheduler.
          ENCLAVE is a number, a name (enclave_2) or a path.
repair    destroys every enclave that no agent serves (left behind by a killed agent), so that its CPUs are free again;
          with --adopt starts an agent for each instead, which takes its tasks over and lives on in the background.

options:
  --ghostfs DIR   the ghostfs to use
  --cpus LIST     such as 0-3,8
  --adopt POLICY  such as fifo_per_cpu
  --dry-run       only say what repair would do

examples:
  ghostctl enclave ls
  ghostctl enclave create --cpus 0-1
  ghostctl enclave destroy all
  ghostctl enclave repair --adopt fifo_per_cpu
)";

absl::Status Destroy(KernelEnclave& enclave) {
  absl::Status status = enclave.WriteFile("ctl", "destroy");
  if (!status.ok()) return status;
  absl::PrintF("%s: destroyed\n", enclave.directory());
  return absl::OkStatus();
}

absl::StatusOr<int> List(Kernel& kernel) {
  GHOST_ASSIGN_OR_RETURN(std::vector<EnclaveView> views, ViewEnclaves(kernel));
  if (views.empty()) {
    absl::PrintF("no enclaves in %s\n", kernel.root());
    return 0;
  }
  absl::PrintF("%4s %4s %-12s %-6s %6s  %s\n", "id", "abi", "cpus", "agent", "tasks", "directory");
  for (const EnclaveView& view : views) {
    absl::PrintF("%4d %4d %-12s %-6s %6d  %s\n", view.id, view.abi, view.cpus.empty() ? "-" : view.cpus,
                 view.online ? "online" : "none", view.num_tasks, view.directory);
  }
  return 0;
}

// Every CPU of the kernel that no enclave has.
absl::StatusOr<CpuSet> FreeCpus(Kernel& kernel) {
  GHOST_ASSIGN_OR_RETURN(int num_cpus, kernel.PossibleCpus());
  CpuSet free = CpuSet::FirstN(num_cpus);
  GHOST_ASSIGN_OR_RETURN(std::vector<EnclaveView> views, ViewEnclaves(kernel));
  for (const EnclaveView& view : views) {
    CpuSet taken;
    if (ParseCpuList(view.cpus, &taken) == CpuParseError::kOk) free -= taken;
  }
  if (free.empty()) {
    return WithHint(WithExitCode(absl::FailedPreconditionError("every CPU is in an enclave"), ExitCode::kBusy),
                    "ghostctl enclave ls");
  }
  return free;
}

absl::StatusOr<int> Create(Kernel& kernel, const std::string& list) {
  CpuSet cpus;
  if (list.empty()) {
    GHOST_ASSIGN_OR_RETURN(cpus, FreeCpus(kernel));
  } else if (ParseCpuList(list, &cpus) != CpuParseError::kOk || cpus.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("'", list, "' is no list of CPUs such as 0-3,8"));
  }
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave, kernel.CreateEnclave(cpus));
  absl::PrintF("%s\n", enclave->directory());
  return 0;
}

absl::StatusOr<int> DestroyAll(Kernel& kernel) {
  GHOST_ASSIGN_OR_RETURN(std::vector<EnclaveInfo> infos, kernel.ListEnclaves());
  if (infos.empty()) absl::PrintF("no enclaves in %s\n", kernel.root());
  for (const EnclaveInfo& info : infos) {
    GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave, kernel.AttachEnclave(info.directory));
    GHOST_RETURN_IF_ERROR(Destroy(*enclave));
  }
  return 0;
}

struct RepairOptions {
  bool dry_run = false;
  std::string adopt;  // a policy; "": destroy
};

absl::StatusOr<int> Repair(Kernel& kernel, const RepairOptions& options) {
  std::string agent;
  if (!options.adopt.empty()) {
    GHOST_ASSIGN_OR_RETURN(agent, FindAgent(options.adopt));
  }
  GHOST_ASSIGN_OR_RETURN(std::vector<EnclaveView> views, ViewEnclaves(kernel));
  std::vector<std::string> broken;
  for (const EnclaveView& view : views) {
    if (view.online) {
      absl::PrintF("%s: served by an agent, left alone\n", view.directory);
      continue;
    }
    broken.push_back(view.directory);
    if (options.dry_run) {
      absl::PrintF("%s: no agent, %d tasks, CPUs %s: would be %s\n", view.directory, view.num_tasks, view.cpus,
                   agent.empty() ? "destroyed" : "given an agent");
    } else if (agent.empty()) {
      GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave, kernel.AttachEnclave(view.directory));
      GHOST_RETURN_IF_ERROR(enclave->WriteFile("ctl", "destroy"));
      absl::PrintF("%s: had no agent: destroyed; CPUs %s are free, %d tasks run on under the ordinary scheduler\n",
                   view.directory, view.cpus, view.num_tasks);
    }
  }
  if (broken.empty()) absl::PrintF("nothing to repair\n");
  if (broken.empty() || options.dry_run || agent.empty()) return 0;
  return AdoptEnclaves(agent, broken, kernel.root());
}

absl::StatusOr<int> Run(const std::vector<std::string>& args) {
  std::string ghostfs, cpus;
  RepairOptions repair;
  Options options;
  options.AddString("ghostfs", &ghostfs).AddString("cpus", &cpus);
  options.AddString("adopt", &repair.adopt).AddFlag("dry-run", &repair.dry_run);
  GHOST_RETURN_IF_ERROR(options.Parse(args, Options::kAnywhere));
  const std::vector<std::string>& operands = options.operands();
  const std::string action = operands.empty() ? "ls" : operands[0];
  const bool destroys = action == "destroy";
  if (action != "ls" && action != "create" && action != "repair" && !destroys) {
    return absl::InvalidArgumentError(absl::StrCat("unknown action '", action, "'"));
  }
  if (destroys && operands.size() < 2) return absl::InvalidArgumentError("destroy which enclave?");
  if (!destroys && operands.size() > 1) return absl::InvalidArgumentError(absl::StrCat("what is '", operands[1], "'?"));

  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, OpenGhostfs(ghostfs));
  if (action == "ls") return List(*kernel);
  if (action == "create") return Create(*kernel, cpus);
  if (action == "repair") return Repair(*kernel, repair);
  if (operands[1] == "all") return DestroyAll(*kernel);
  for (size_t i = 1; i < operands.size(); ++i) {
    GHOST_ASSIGN_OR_RETURN(std::unique_ptr<KernelEnclave> enclave, FindEnclave(*kernel, operands[i]));
    GHOST_RETURN_IF_ERROR(Destroy(*enclave));
  }
  return 0;
}

}  // namespace

const Command kEnclaveCommand = {"enclave", "list, make, destroy and repair enclaves", kHelp, Run};

}  // namespace ghost::ctl
