#include "util/ctl/threads.h"

#include <errno.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace ghost::ctl {
namespace {

namespace fs = std::filesystem;

std::vector<pid_t> ParsePids(const std::string& text) {
  std::vector<pid_t> pids;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(line, &pid)) pids.push_back(pid);
  }
  return pids;
}

absl::StatusOr<fs::path> FindCgroup(const std::string& path) {
  std::vector<fs::path> candidates = {path};
  if (!path.empty() && path[0] != '/') {
    const fs::path root = "/sys/fs/cgroup";
    candidates.push_back(root / path);
    std::error_code ignored;
    for (const fs::directory_entry& hierarchy : fs::directory_iterator(root, ignored)) {
      candidates.push_back(hierarchy.path() / path);
    }
  }
  for (const fs::path& candidate : candidates) {
    std::error_code ignored;
    if (fs::exists(candidate / "cgroup.procs", ignored)) return candidate;
  }
  return WithHint(absl::NotFoundError(absl::StrCat("'", path, "' is no cgroup")),
                  "give its directory, such as /sys/fs/cgroup/system.slice/nginx.service");
}

}  // namespace

absl::StatusOr<std::vector<pid_t>> ThreadsOf(pid_t pid) {
  std::vector<pid_t> tids;
  std::error_code error;
  for (fs::directory_iterator it(absl::StrCat("/proc/", pid, "/task"), error), end; !error && it != end;
       it.increment(error)) {
    pid_t tid = 0;
    if (absl::SimpleAtoi(it->path().filename().string(), &tid)) tids.push_back(tid);
  }
  if (tids.empty()) return ErrnoStatus(ESRCH, absl::StrCat(pid));
  return tids;
}

absl::StatusOr<std::vector<pid_t>> ProcessesInCgroup(const std::string& path) {
  GHOST_ASSIGN_OR_RETURN(fs::path root, FindCgroup(path));
  std::vector<pid_t> pids;
  const auto add = [&pids](const fs::path& directory) {
    absl::StatusOr<std::string> text = ReadFile((directory / "cgroup.procs").string());
    if (!text.ok()) return;  // removed meanwhile, or a threaded cgroup, whose root lists the processes
    for (pid_t pid : ParsePids(*text)) pids.push_back(pid);
  };
  add(root);
  std::error_code error;
  for (fs::recursive_directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored)) add(it->path());
  }
  return pids;
}

absl::StatusOr<ThreadState> StateOfThread(pid_t tid) {
  absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/proc/", tid, "/status"));
  if (!text.ok()) return ErrnoStatus(ESRCH, absl::StrCat(tid));
  ThreadState state;
  state.kernel_thread = true;  // those have no memory of their own: no VmSize line
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (absl::ConsumePrefix(&line, "State:\t") && !line.empty()) state.state = line[0];
    if (absl::ConsumePrefix(&line, "TracerPid:\t") && !absl::SimpleAtoi(line, &state.tracer)) state.tracer = 0;
    if (absl::ConsumePrefix(&line, "VmSize:")) state.kernel_thread = false;
  }
  if (state.state == 'Z' || state.state == 'X') state.kernel_thread = false;
  return state;
}

}  // namespace ghost::ctl
