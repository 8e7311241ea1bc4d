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

namespace fs = std::filesystem;

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
