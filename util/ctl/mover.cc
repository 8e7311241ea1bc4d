#include "util/ctl/mover.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/status.h"
#include "util/ctl/enclaves.h"
#include "util/ctl/threads.h"

namespace ghost::ctl {
namespace {

// Processes that fork in the middle converge soon: their threads are born inside.
constexpr int kMaxLooks = 100;
// What a ghost kernel calls the scheduling class; ghostd can't.
constexpr int kSchedGhost = 18;

int LeaveGhost(pid_t tid) {
  const sched_param param = {.sched_priority = 0};
  return sched_setscheduler(tid, SCHED_OTHER, &param) == 0 ? 0 : errno;
}

bool HasEnded(pid_t tid) {
  absl::StatusOr<ThreadState> state = StateOfThread(tid);
  return !state.ok() || state->state == 'Z' || state->state == 'X';
}

}  // namespace

absl::Status Mover::Move(pid_t id, bool alone, Named named) {
  if (!alone) return MoveProcess(id, named);
  MoveThread(id, named);
  return absl::OkStatus();
}

absl::Status Mover::MoveProcess(pid_t pid, Named named) {
  enclaves_.clear();  // there may be others by now
  std::set<pid_t> seen;
  for (int look = 0; look < kMaxLooks; ++look) {
    absl::StatusOr<std::vector<pid_t>> tids = ThreadsOf(pid);
    if (!tids.ok()) {
      if (seen.empty() && named == Named::kYes) Fail(pid, ESRCH, named);
      return absl::OkStatus();
    }
    bool found_new = false;
    for (pid_t tid : *tids) {
      if (!seen.insert(tid).second) continue;
      found_new = true;
      MoveThread(tid, tid == pid ? named : Named::kNo);
    }
    if (!found_new) return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("process ", pid, " still has new threads after ", kMaxLooks, " looks"));
}

void Mover::MoveThread(pid_t tid, Named named) {
  bool was_there = false;
  const int error = enclave_ == nullptr ? Out(tid, &was_there) : In(tid, &was_there);
  if (error == 0) {
    ++(was_there ? unchanged_ : moved_);
  } else if (named == Named::kYes || !(error == ESRCH || HasEnded(tid))) {
    Fail(tid, error, named);
  }  // else: a thread that ended between the look and the move
}

int Mover::In(pid_t tid, bool* was_there) {
  const int error = Enter(tid);
  if (error != EPERM || !InGhost(tid)) return error;
  *was_there = IsTaskOf(*enclave_, tid);
  if (*was_there) return 0;
  if (const int left = LeaveGhost(tid); left != 0) return left;
  return Enter(tid);
}

int Mover::Out(pid_t tid, bool* was_there) {
  *was_there = !InGhost(tid);
  const int policy = sched_getscheduler(tid);
  if (policy < 0) return errno;
  // Who has another class, and never was in ghost, keeps it.
  if (*was_there && policy != SCHED_OTHER) return 0;
  return LeaveGhost(tid);
}

int Mover::Enter(pid_t tid) {
  absl::Status status = enclave_->WriteFile("tasks", absl::StrCat(tid));
  const int error = status.ok() ? 0 : ErrnoOf(status);
  if (error == EXDEV || error == ENODEV || error == ENOENT || error == ENOTCONN) enclave_gone_ = true;
  return error;
}

bool Mover::IsTaskOf(KernelEnclave& enclave, pid_t tid) {
  if (kernel_->user_mode()) {
    // It has a gtid wherever it is; the enclave knows the affinity of its own tasks.
    absl::StatusOr<int64_t> gtid = enclave.TaskGtid(tid);
    return gtid.ok() && enclave.TaskAffinity(*gtid).ok();
  }
  // The kernel shows the first page of them; of one beyond it this says no, and it is moved to where it is.
  absl::StatusOr<std::vector<pid_t>> tids = TasksOf(enclave);
  return tids.ok() && std::find(tids->begin(), tids->end(), tid) != tids->end();
}

bool Mover::InGhost(pid_t tid) {
  if (!kernel_->user_mode()) return sched_getscheduler(tid) == kSchedGhost;
  if (enclaves_.empty()) AttachEnclaves();
  return std::any_of(enclaves_.begin(), enclaves_.end(), [&](const auto& enclave) { return IsTaskOf(*enclave, tid); });
}

void Mover::AttachEnclaves() {
  absl::StatusOr<std::vector<EnclaveInfo>> infos = kernel_->ListEnclaves();
  if (!infos.ok()) return;
  for (const EnclaveInfo& info : *infos) {
    absl::StatusOr<std::unique_ptr<KernelEnclave>> enclave = kernel_->AttachEnclave(info.directory);
    if (enclave.ok()) enclaves_.push_back(*std::move(enclave));
  }
}

bool Mover::EnclaveGone() const {
  return enclave_gone_ || (enclave_ != nullptr && access(enclave_->directory().c_str(), F_OK) != 0);
}

// What errno from a move means for this thread.
std::string Mover::Explain(pid_t tid, int error) const {
  if (enclave_gone_) return "the enclave is gone";
  absl::StatusOr<ThreadState> state = StateOfThread(tid);
  if (!state.ok() || error == ESRCH) return "no such thread (or it is ending)";
  if (state->kernel_thread) return "a kernel thread";
  if (error == EPERM && state->tracer != 0) return absl::StrCat("held by a debugger (process ", state->tracer, ")");
  if (error == EPERM) return "not permitted: another user's, or already under ghost";
  if (error == ENOMEM) return "the enclave is full (no free status word)";
  return strerror(error);
}

void Mover::Fail(pid_t tid, int error, Named named) {
  ++failed_;
  const std::string why = Explain(tid, error);
  if (!said_.insert(why).second && named == Named::kNo) return;
  absl::FPrintF(stderr, "%s: %d: %s%s\n", program_, tid, why,
                named == Named::kNo ? " (others like it are only counted)" : "");
}

std::string Mover::Summary() const {
  const std::string where =
      enclave_ == nullptr ? "to the ordinary scheduler" : absl::StrCat("into ", enclave_->directory());
  std::string text = absl::StrCat(moved_, moved_ == 1 ? " thread" : " threads", " moved ", where);
  if (unchanged_ > 0) absl::StrAppend(&text, ", ", unchanged_, " were there already");
  if (failed_ > 0) absl::StrAppend(&text, ", ", failed_, " failed");
  return text;
}

}  // namespace ghost::ctl
