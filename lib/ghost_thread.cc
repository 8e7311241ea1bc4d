#include "lib/ghost_thread.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/ghostfs.h"

namespace ghost {
namespace {

constexpr char kEnclavePrefix[] = "enclave_";

// The value of "<key> <value>" in a status file, or "".
std::string StatusValue(absl::string_view text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::ConsumePrefix(&line, key) && absl::ConsumePrefix(&line, " ")) return std::string(line);
  }
  return "";
}

absl::StatusOr<std::string> FirstActiveEnclave(const std::string& root) {
  std::map<uint64_t, std::string> enclaves;  // in numerical order
  std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(root.c_str()), closedir);
  while (const dirent* entry = directory ? readdir(directory.get()) : nullptr) {
    absl::string_view name = entry->d_name;
    uint64_t id;
    if (absl::ConsumePrefix(&name, kEnclavePrefix) && absl::SimpleAtoi(name, &id)) enclaves[id] = entry->d_name;
  }
  for (const auto& [id, name] : enclaves) {
    const std::string path = absl::StrCat(root, "/", name);
    absl::StatusOr<std::string> status = ReadFile(absl::StrCat(path, "/status"));
    if (status.ok() && StatusValue(*status, "active") == "yes") return path;
  }
  return WithExitCode(
      WithHint(absl::NotFoundError(absl::StrCat("no agent is running: no enclave in ", root, " is active")),
               "start one, for example: fifo_per_cpu_agent"),
      ExitCode::kFailed);
}

}  // namespace

absl::StatusOr<std::string> FindEnclave(absl::string_view enclave, absl::string_view ghostfs) {
  std::string wanted(enclave);
  std::string source = "";
  if (const char* variable = getenv("GHOST_ENCLAVE"); wanted.empty() && variable != nullptr && *variable != '\0') {
    wanted = variable;
    source = " (from $GHOST_ENCLAVE)";
  }
  std::string path = std::string(absl::StripSuffix(wanted, "/"));
  if (path.empty() || path.find('/') == std::string::npos) {
    GHOST_ASSIGN_OR_RETURN(const std::string root, FindGhostfs(ghostfs));
    if (path.empty()) return FirstActiveEnclave(root);
    path = absl::StrCat(root, "/", path);
  }
  // Everything that is an enclave has this file, and few things else do.
  if (absl::StatusOr<std::string> status = ReadFile(absl::StrCat(path, "/status"));
      !status.ok() || StatusValue(*status, "active").empty()) {
    return WithHint(absl::InvalidArgumentError(absl::StrCat(path, source, " is not an enclave")),
                    "enclaves are the directories enclave_N of ghostfs");
  }
  return path;
}

absl::Status EnterGhost(const std::string& enclave, pid_t tid) {
  const absl::Status status = WriteFile(absl::StrCat(enclave, "/tasks"), absl::StrCat(tid));
  if (status.ok() || ErrnoOf(status) == 0) return status;
  return ErrnoStatus(ErrnoOf(status), absl::StrCat("putting thread ", tid, " into ", enclave));
}

absl::Status LeaveGhost(pid_t tid) {
  const sched_param param = {.sched_priority = 0};
  if (sched_setscheduler(tid, SCHED_OTHER, &param) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("giving thread ", tid, " back to CFS"));
}

absl::StatusOr<std::vector<pid_t>> ListTasks(const std::string& enclave) {
  GHOST_ASSIGN_OR_RETURN(const std::string text, ReadFile(absl::StrCat(enclave, "/tasks")));
  std::vector<pid_t> tids;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    pid_t tid;
    if (absl::SimpleAtoi(line, &tid)) tids.push_back(tid);
  }
  return tids;
}

absl::StatusOr<int> NumTasks(const std::string& enclave) {
  GHOST_ASSIGN_OR_RETURN(const std::string text, ReadFile(absl::StrCat(enclave, "/status")));
  int count;
  if (!absl::SimpleAtoi(StatusValue(text, "nr_tasks"), &count)) {
    return absl::DataLossError(absl::StrCat(enclave, "/status has no nr_tasks"));
  }
  return count;
}

absl::StatusOr<CpuSet> EnclaveCpus(const std::string& enclave) {
  GHOST_ASSIGN_OR_RETURN(const std::string list, ReadFile(absl::StrCat(enclave, "/cpulist")));
  CpuSet cpus;
  if (ParseCpuList(list, &cpus) == CpuParseError::kOk) return cpus;
  return absl::DataLossError(absl::StrCat(enclave, "/cpulist reads ", list));
}

GhostThread::GhostThread(std::function<void()> body) : thread_([this, body = std::move(body)] { ThreadMain(body); }) {
  started_.Wait();
}

void GhostThread::ThreadMain(const std::function<void()>& body) {
  tid_ = static_cast<pid_t>(syscall(SYS_gettid));
  started_.Notify();
  may_go_on_.Wait();
  if (run_body_) body();
}

absl::StatusOr<std::unique_ptr<GhostThread>> GhostThread::Start(Scheduler scheduler, const std::string& enclave,
                                                                std::function<void()> body) {
  std::unique_ptr<GhostThread> thread(new GhostThread(std::move(body)));
  // The starter does it for the thread: so it hears of an error at once, even if no agent will run the thread.
  const absl::Status entered = scheduler == Scheduler::kGhost ? EnterGhost(enclave, thread->tid_) : absl::OkStatus();
  thread->run_body_ = entered.ok();
  thread->may_go_on_.Notify();
  if (!entered.ok()) return entered;
  return thread;
}

GhostThread::~GhostThread() {
  if (Joinable()) Join();
}

void GhostThread::Join() { thread_.join(); }

}  // namespace ghost
