// pushtosched: processes whose ids come on standard input, out of ghost or into it, with all of their threads.
//
// An old name and an old way; `ghostctl move` does the same and more.
#include <stdio.h>
#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/cli.h"
#include "lib/ghost_flags.h"
#include "lib/ghostfs.h"
#include "util/ctl/enclaves.h"
#include "util/ctl/mover.h"
#include "util/ctl/options.h"

ABSL_FLAG(bool, leader_only, false, "Move the threads of these ids alone, not the other threads of their processes.");

namespace ghost {
namespace {

constexpr char kName[] = "pushtosched";

// Whether POLICY means ghost.
absl::StatusOr<bool> IntoGhost(const std::vector<std::string>& arguments) {
  if (arguments.size() > 1) {
    return WithHint(absl::InvalidArgumentError(absl::StrCat("what is '", arguments[1], "'?")), "pushtosched --help");
  }
  const std::string policy = arguments.empty() ? "other" : absl::AsciiStrToLower(arguments[0]);
  if (policy == "0" || policy == "other" || policy == "cfs") return false;
  if (policy == "18" || policy == "ghost") return true;
  return WithHint(absl::InvalidArgumentError(absl::StrCat("'", arguments[0], "' is no policy to move to")),
                  "other (or 0: the ordinary scheduler), or ghost (or 18)");
}

// All of them are read before the first is moved: a wrong one moves none.
absl::StatusOr<std::vector<pid_t>> ReadIds() {
  if (isatty(STDIN_FILENO)) std::cerr << kName << ": process ids, please; Ctrl-D ends them" << std::endl;
  const std::string text((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  std::vector<pid_t> ids;
  for (const absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \t\r\n"), absl::SkipEmpty())) {
    int64_t id = 0;
    const absl::Status status = ctl::ParseNumber(std::string(word.substr(0, 40)), "a process id", 1, INT32_MAX, &id);
    if (!status.ok()) return WithHint(status, "one on each line: pgrep nginx | pushtosched");
    ids.push_back(static_cast<pid_t>(id));
  }
  if (ids.empty()) {
    return WithHint(absl::InvalidArgumentError("no process ids on standard input"), "pgrep nginx | pushtosched");
  }
  return ids;
}

absl::StatusOr<int> Main(const std::vector<std::string>& arguments) {
  GHOST_ASSIGN_OR_RETURN(const bool into_ghost, IntoGhost(arguments));
  const std::string which = absl::GetFlag(FLAGS_enclave);
  if (!into_ghost && !which.empty()) {
    return WithHint(absl::InvalidArgumentError("--enclave is for moves into ghost"),
                    absl::StrCat("pushtosched ghost --enclave ", which));
  }
  GHOST_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, OpenGhostfs(absl::GetFlag(FLAGS_ghostfs)));
  std::unique_ptr<KernelEnclave> enclave;
  if (into_ghost) {
    GHOST_ASSIGN_OR_RETURN(enclave, ctl::FindEnclave(*kernel, which));
  }
  GHOST_ASSIGN_OR_RETURN(const std::vector<pid_t> ids, ReadIds());

  absl::PrintF("Moving processes to %s.\n", into_ghost ? "SCHED_GHOST" : "SCHED_OTHER (CFS)");
  ctl::Mover mover(kName, kernel.get(), enclave.get());
  for (pid_t id : ids) {
    absl::PrintF("pid: %d\n", id);
    GHOST_RETURN_IF_ERROR(mover.Move(id, absl::GetFlag(FLAGS_leader_only), ctl::Mover::Named::kYes));
  }
  absl::PrintF("%s\n", mover.Summary());
  return mover.failed() > 0 ? 1 : 0;
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  const ghost::CommandLine line = ghost::ParseCommandLine(
      {.name = ghost::kName,
       .summary = "moves the processes whose ids stand on standard input, with all threads, out of ghost or into it",
       .arguments = "[POLICY]",
       .examples = {"pgrep nginx | pushtosched               # back to the ordinary scheduler (CFS)",
                    "pgrep nginx | pushtosched ghost         # into the only enclave",
                    "pgrep nginx | pushtosched ghost --enclave enclave_2",
                    "ls /proc/4711/task | pushtosched --leader_only"},
       .notes = "POLICY: other (also 0, cfs), which is the default, or ghost (also 18).\n"
                "Exit code 1: a thread could not be moved; stderr says which and why.\n"},
      argc, argv);
  if (line.exit_code.has_value()) return *line.exit_code;
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const absl::StatusOr<int> code = ghost::Main(line.arguments);
  return code.ok() ? *code : ghost::Report(ghost::kName, code.status());
}
