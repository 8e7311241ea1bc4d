// ghostctl: the front door. Puts programs under a policy, looks after enclaves, and says what this machine lacks.
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernel/abi/abi_version.h"
#include "lib/base/status.h"
#include "lib/cli.h"
#include "util/ctl/command.h"
#include "util/ctl/options.h"

namespace ghost::ctl {
namespace {

const Command* const kCommands[] = {&kDoctorCommand, &kRunCommand, &kExecCommand, &kEnclaveCommand, &kMoveCommand,
                                    &kStatusCommand, &kGetCommand, &kSetCommand,  &kDumpCommand,    &kRpcCommand};

constexpr char kExamples[] = R"(
options:
  --help      this text; ghostctl COMMAND --help says more
  --version   this project's version, and those of the ghost ABI that it knows

examples:
  ghostctl doctor
  ghostctl run --policy fifo_per_cpu --cpus 0-1 -- stress-ng --cpu 4 --timeout 5s
  ghostctl move 4711
  ghostctl status
  ghostctl set preemption_time_slice=50us

Exit status: 0 ok, 1 failed, 2 usage, 3 no ghost kernel or no common ABI, 4 permission, 5 CPUs or enclave busy;
run and exec: that of the program which they run.
)";

void PrintHelp() {
  absl::PrintF("usage: ghostctl COMMAND [OPTION]... [ARGUMENT]...\n\ncommands:\n");
  for (const Command* command : kCommands) absl::PrintF("  %-10s  %s\n", command->name, command->summary);
  absl::PrintF("%s", kExamples);
}

int Usage(const std::string& what, const std::string& help) {
  return Report("ghostctl", WithHint(absl::InvalidArgumentError(what), help));
}

int RunCommand(const Command& command, const std::vector<std::string>& args) {
  absl::StatusOr<int> result = command.run(args);
  if (result.ok()) return *result;
  if (IsHelpWanted(result.status())) {
    absl::PrintF("%s", command.help);
    return 0;
  }
  absl::Status status = result.status();
  const std::string program = absl::StrCat("ghostctl ", command.name);
  if (ExitCodeOf(status) == ExitCode::kUsage && HintOf(status).empty()) {
    status = WithHint(status, absl::StrCat(program, " --help"));
  }
  return Report(program, status);
}

int Main(const std::vector<std::string>& args) {
  if (args.empty()) return Usage("no command given", "ghostctl --help");
  const std::string& first = args[0];
  if (first == "--help" || first == "-h" || first == "help") {
    PrintHelp();
    return 0;
  }
  if (first == "--version") {
    absl::PrintF("ghostctl %s (ghost ABI %s)\n", kProjectVersion, KnownAbis());
    return 0;
  }
  for (const Command* command : kCommands) {
    if (first == command->name) return RunCommand(*command, {args.begin() + 1, args.end()});
  }
  return Usage(absl::StrCat("unknown command '", first, "'"), "ghostctl --help lists the commands");
}

}  // namespace
}  // namespace ghost::ctl

int main(int argc, char** argv) { return ghost::ctl::Main({argv + 1, argv + argc}); }
