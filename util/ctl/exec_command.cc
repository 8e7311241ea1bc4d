// ghostctl exec: a program in a namespace of its own where the ghostfs in use is at /sys/fs/ghost.
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"
#include "util/ctl/command.h"
#include "util/ctl/namespace.h"
#include "util/ctl/options.h"

namespace ghost::ctl {
namespace {

constexpr char kHelp[] =
    R"(usage: ghostctl exec [--ghostfs DIR] -- PROGRAM [ARGUMENT]...

Runs PROGRAM in a private mount namespace in which the ghostfs appears at /sys/fs/ghost, for binaries that look nowhere
else (upstream's). The rest of the file system stays as it is. Exit status: PROGRAM's; 126 or 127 if it cannot be run.

options:
  --ghostfs DIR   the ghostfs to show; without it $GHOSTFS, then where ghostd mounts by default

examples:
  ghostctl exec -- ls /sys/fs/ghost
  ghostctl exec -- upstream/bazel-bin/fifo_per_cpu_agent --ghost_cpus 0-1
)";

absl::StatusOr<int> Run(const std::vector<std::string>& args) {
  std::string ghostfs;
  Options options;
  options.AddString("ghostfs", &ghostfs);
  GHOST_RETURN_IF_ERROR(options.Parse(args, Options::kBeforeOperands));
  if (options.operands().empty()) return absl::InvalidArgumentError("no program given");
  GHOST_ASSIGN_OR_RETURN(std::string found, FindGhostfs(ghostfs));
  if (found != kSysfsMount) GHOST_RETURN_IF_ERROR(EnterGhostNamespace(found));
  return ExecProgram(options.operands());
}

}  // namespace

const Command kExecCommand = {"exec", "run a program that finds the ghostfs at /sys/fs/ghost", kHelp, Run};

}  // namespace ghost::ctl
