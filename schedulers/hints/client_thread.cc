#include "schedulers/hints/client_thread.h"

#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/gtid.h"

namespace ghost {
namespace {

absl::Status Gone(pid_t tid) { return absl::NotFoundError(absl::StrCat("thread ", tid, " is gone")); }

// The last number of a line of /proc/<tid>/status: "NSpid:\t4711\t12".
std::optional<pid_t> LastNumber(absl::string_view status, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    if (!absl::ConsumePrefix(&line, name)) continue;
    const std::vector<absl::string_view> numbers = absl::StrSplit(line, '\t');
    pid_t number;
    if (absl::SimpleAtoi(numbers.back(), &number)) return number;
  }
  return std::nullopt;
}

// Field 22 of /proc/<pid>/stat. The second one, the program's name in parentheses, may contain anything.
std::optional<uint64_t> StartOf(pid_t pid, const std::string& procfs) {
  const absl::StatusOr<std::string> stat = ReadFile(absl::StrCat(procfs, "/", pid, "/stat"));
  if (!stat.ok()) return std::nullopt;
  const size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  const std::vector<std::string> fields = absl::StrSplit(stat->substr(name_end + 1), ' ');
  constexpr size_t kStart = 22 - 2;  // the first field here is empty, then comes number 3
  uint64_t start;
  if (fields.size() <= kStart || !absl::SimpleAtoi(fields[kStart], &start)) return std::nullopt;
  return start;
}

absl::StatusOr<ClientThread> ReadThread(pid_t tid, const std::string& procfs) {
  const absl::StatusOr<std::string> status = ReadFile(absl::StrCat(procfs, "/", tid, "/status"));
  if (!status.ok()) return Gone(tid);
  const std::optional<pid_t> process = LastNumber(*status, "Tgid:");
  const std::optional<pid_t> own_tid = LastNumber(*status, "NSpid:");
  if (!process.has_value()) return Gone(tid);
  const std::optional<uint64_t> start = StartOf(*process, procfs);
  if (!start.has_value()) return Gone(tid);
  return ClientThread{.tid = tid, .own_tid = own_tid.value_or(tid), .process = {.pid = *process, .start = *start}};
}

}  // namespace

absl::StatusOr<ClientThread> FindClientThread(int64_t gtid, const std::string& procfs) {
  const Gtid id(gtid);
  if (!id.is_task()) return absl::InvalidArgumentError(absl::StrCat(id.Describe(), " is no task"));
  GHOST_ASSIGN_OR_RETURN(ClientThread thread, ReadThread(id.tid(), procfs));
  // A ghost kernel says whether the number is another thread's by now. Elsewhere it may be: then this is a process
  // whose table, if it has one, does not know the gtid.
  const absl::StatusOr<Gtid> now = Gtid::FromTid(id.tid(), procfs);
  if (now.ok() && *now != id) return Gone(id.tid());
  return thread;
}

bool IsOf(pid_t tid, const ProcessId& process, const std::string& procfs) {
  const absl::StatusOr<ClientThread> thread = ReadThread(tid, procfs);
  return thread.ok() && thread->process == process;
}

}  // namespace ghost
