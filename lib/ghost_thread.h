// GhostThread: a thread of this process that a ghost agent schedules; and how threads enter and leave an enclave.
//
//     GHOST_ASSIGN_OR_RETURN(const std::string enclave, FindEnclave());
//     GHOST_ASSIGN_OR_RETURN(auto thread, GhostThread::Start(GhostThread::Scheduler::kGhost, enclave, [] { Work(); }));
//     thread->Join();
//
// For clients of a scheduler: programs and tests. It needs nothing of the agent's side, and no enclave object, only the
// enclave's directory in ghostfs. Not for agents. Threads: as std::thread.
#ifndef GHOST_LIB_GHOST_THREAD_H_
#define GHOST_LIB_GHOST_THREAD_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/cpu_set.h"
#include "lib/base/notification.h"
#include "lib/gtid.h"

namespace ghost {

// The directory of the enclave to use: `enclave` (a directory, or a name in ghostfs), else $GHOST_ENCLAVE, else the
// first one that has an agent. `ghostfs` is as OpenGhostfs takes it. Errors have hints and exit codes: 3 no kernel, 2
// not an enclave, 1 no agent.
absl::StatusOr<std::string> FindEnclave(absl::string_view enclave = "", absl::string_view ghostfs = "");

// Puts a thread (a thread id, not a process) into an enclave. Errors have the kernel's errno: ESRCH, EPERM (it is in
// one already, or is another user's), ENODEV, EXDEV (the enclave is going), ENOMEM.
absl::Status EnterGhost(const std::string& enclave, pid_t tid);
// Gives a thread back to CFS, whatever enclave it is in. Fine if it is in none.
absl::Status LeaveGhost(pid_t tid);

// The threads in an enclave. A real kernel lists no more than fill a page (about 600): NumTasks counts all.
absl::StatusOr<std::vector<pid_t>> ListTasks(const std::string& enclave);
absl::StatusOr<int> NumTasks(const std::string& enclave);
// The CPUs that an enclave has.
absl::StatusOr<CpuSet> EnclaveCpus(const std::string& enclave);

class GhostThread {
 public:
  enum class Scheduler { kGhost, kCfs };

  // Starts a thread that runs `body`; with kGhost it is in `enclave` before its first step of `body`. If it can't
  // enter, the Status says why, and `body` does not run. Returns without waiting for an agent to schedule it.
  static absl::StatusOr<std::unique_ptr<GhostThread>> Start(Scheduler scheduler, const std::string& enclave,
                                                            std::function<void()> body);
  ~GhostThread();  // joins
  GhostThread(const GhostThread&) = delete;
  GhostThread& operator=(const GhostThread&) = delete;

  void Join();
  bool Joinable() const { return thread_.joinable(); }
  pid_t tid() const { return tid_; }
  // On a ghost kernel only (see Gtid::FromTid), and while the thread lives.
  absl::StatusOr<Gtid> gtid() const { return Gtid::FromTid(tid_); }

 private:
  explicit GhostThread(std::function<void()> body);
  void ThreadMain(const std::function<void()>& body);

  Notification started_;    // tid_ is known
  Notification may_go_on_;  // run_body_ is decided
  bool run_body_ = false;
  pid_t tid_ = 0;
  std::thread thread_;
};

}  // namespace ghost

#endif  // GHOST_LIB_GHOST_THREAD_H_
