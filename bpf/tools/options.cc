#include "bpf/tools/options.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "bpf/tools/ghostd_pids.h"
#include "kernel/usermode/core/dialect.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"

ABSL_FLAG(bool, g, false, "Only ghost tasks.");
ABSL_FLAG(int, p, 0, "Only threads of the process with this id.");
ABSL_FLAG(std::string, cgroup, "", "Only tasks in this cgroup (a directory of cgroup v2) and those below it.");
ABSL_FLAG(absl::Duration, interval, absl::ZeroDuration(),
          "Report what has happened each time that so much time has passed, as 1s. 0: report once, at the end; on a "
          "terminal, show it as it grows.");
ABSL_FLAG(int64_t, count, 0, "End after so many intervals. 0: at Ctrl-C.");
ABSL_FLAG(bool, json, false, "Reports as JSON, an object per line.");
ABSL_FLAG(std::string, unit, "us",
          "Of times: ns, us or ms. (JSON has ns always; the histograms' rows are this unit's.)");
ABSL_FLAG(
    std::string, ghostfs, "",
    "Where ghostfs is; by default it is looked for as every program does. Its ghostd's tasks are the ghost tasks.");

namespace ghost::tools {
namespace {

constexpr long kCgroup2Magic = 0x63677270;

absl::Status UsageError(absl::string_view what, absl::string_view hint) {
  return WithExitCode(WithHint(absl::InvalidArgumentError(what), hint), ExitCode::kUsage);
}

absl::Status ReadTimes(Options* options) {
  options->interval = absl::GetFlag(FLAGS_interval);
  options->count = absl::GetFlag(FLAGS_count);
  options->json = absl::GetFlag(FLAGS_json);
  if (options->interval < absl::ZeroDuration() || options->interval == absl::InfiniteDuration() ||
      (options->interval > absl::ZeroDuration() && options->interval < absl::Milliseconds(10))) {
    return UsageError(absl::StrCat("--interval ", absl::FormatDuration(options->interval), ": out of range"),
                      "10ms or more, as 1s or 500ms");
  }
  if (options->count < 0) return UsageError(absl::StrCat("--count ", options->count, ": negative"), "0: until Ctrl-C");
  if (options->count > 0 && options->interval == absl::ZeroDuration()) options->interval = absl::Seconds(1);
  const std::string unit = absl::GetFlag(FLAGS_unit);
  if (!ParseUnit(unit).has_value()) return UsageError(absl::StrCat("--unit ", unit, ": unknown"), "ns, us or ms");
  options->unit = *ParseUnit(unit);
  options->selection.histogram_scale = HistogramScale(options->unit);
  return absl::OkStatus();
}

absl::Status ReadProcess(Options* options) {
  const int pid = absl::GetFlag(FLAGS_p);
  if (pid == 0) return absl::OkStatus();
  if (pid < 0) return UsageError(absl::StrCat("-p ", pid, ": not a process id"), "give a number from ps");
  absl::StatusOr<std::string> status = ReadFile(absl::StrCat("/proc/", pid, "/status"));
  if (!status.ok()) {
    return WithHint(absl::NotFoundError(absl::StrCat("-p ", pid, ": there is no such process")), "see: ps -e");
  }
  const std::string leader = absl::StrCat("\nTgid:\t", pid, "\n");
  if (!absl::StrContains(*status, leader)) {
    return UsageError(absl::StrCat("-p ", pid, ": a thread, not a process"), "give the id of its process (ps -eL)");
  }
  options->selection.tgid = static_cast<uint32_t>(pid);
  absl::StrAppend(&options->tasks, options->tasks.empty() ? "" : ", ", "process ", pid);
  return absl::OkStatus();
}

absl::Status ReadCgroup(Options* options) {
  const std::string path = absl::GetFlag(FLAGS_cgroup);
  if (path.empty()) return absl::OkStatus();
  struct stat attributes;
  struct statfs file_system;
  if (stat(path.c_str(), &attributes) != 0 || statfs(path.c_str(), &file_system) != 0) {
    return WithHint(ErrnoStatus(errno, absl::StrCat("--cgroup ", path)), "give a directory, as /sys/fs/cgroup/NAME");
  }
  if (!S_ISDIR(attributes.st_mode) || file_system.f_type != kCgroup2Magic) {
    return UsageError(absl::StrCat("--cgroup ", path, ": not a cgroup of version 2"),
                      "give a directory where cgroup2 is mounted, as /sys/fs/cgroup/NAME (see: mount -t cgroup2)");
  }
  options->selection.cgroup = attributes.st_ino;
  absl::StrAppend(&options->tasks, options->tasks.empty() ? "" : ", ", "cgroup ", path);
  return absl::OkStatus();
}

// Which tasks are ghost tasks is of interest without -g as well: they wait in two parts.
absl::Status ReadGhost(Options* options) {
  const bool only = absl::GetFlag(FLAGS_g);
  const std::string wanted = absl::GetFlag(FLAGS_ghostfs);
  absl::StatusOr<std::string> root = FindGhostfs(wanted);
  if (!root.ok()) {
    if (only || !wanted.empty()) return root.status();
    return absl::OkStatus();
  }
  options->selection.ghost_only = only;
  if (only) options->tasks = absl::StrCat("ghost tasks of ", *root);
  struct statfs file_system;
  if (statfs(root->c_str(), &file_system) != 0 || file_system.f_type != kFuseMagic) return absl::OkStatus();
  options->ghostfs = *root;
  const std::vector<pid_t> pids = PidsOfGhostd(*root);
  options->selection.any_ghostd = pids.empty();
  for (size_t index = 0; index < pids.size() && index < 2; ++index) {
    options->selection.ghostd[index] = static_cast<uint32_t>(pids[index]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Options> ReadOptions() {
  Options options;
  GHOST_RETURN_IF_ERROR(ReadTimes(&options));
  GHOST_RETURN_IF_ERROR(ReadGhost(&options));
  GHOST_RETURN_IF_ERROR(ReadProcess(&options));
  GHOST_RETURN_IF_ERROR(ReadCgroup(&options));
  if (options.tasks.empty()) options.tasks = "all tasks";
  return options;
}

}  // namespace ghost::tools
