// Mover: threads of running processes into an enclave, or out of ghost, one after the other; says which could not be
// moved and why, and counts.
//
// One thread. What it is not: it does not know which processes there are (threads.h, cgroups.h).
#ifndef GHOST_UTIL_CTL_MOVER_H_
#define GHOST_UTIL_CTL_MOVER_H_

#include <sys/types.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/kernel.h"

namespace ghost::ctl {

class Mover {
 public:
  // Whether the user has named the thread or process itself. Then it counts as failed if it is not there, and is a line
  // of its own on stderr; of the others, only the first that fails in a certain way is.
  enum class Named : bool { kNo, kYes };

  // `program` starts each line of stderr. A null `enclave`: out of ghost. Both must outlive it.
  Mover(std::string program, Kernel* kernel, KernelEnclave* enclave)
      : program_(std::move(program)), kernel_(kernel), enclave_(enclave) {}

  // `alone`: the thread `id`; else all threads of the process, looking again until no new one turns up: those that they
  // start from then on are born where they are. A thread of another enclave leaves that one first. Out of ghost: one
  // that is in none is left as it is. Unavailable: new threads still turn up after many looks.
  absl::Status Move(pid_t id, bool alone, Named named);

  int moved() const { return moved_; }
  int unchanged() const { return unchanged_; }  // were there already
  int failed() const { return failed_; }
  // The enclave takes nobody any more.
  bool EnclaveGone() const;
  // "3 threads moved into DIR, 1 failed"
  std::string Summary() const;

 private:
  void MoveThread(pid_t tid, Named named);
  absl::Status MoveProcess(pid_t pid, Named named);
  // 0 or errno; *was_there: nothing had to be done.
  int In(pid_t tid, bool* was_there);
  int Out(pid_t tid, bool* was_there);
  int Enter(pid_t tid);
  bool IsTaskOf(KernelEnclave& enclave, pid_t tid);
  bool InGhost(pid_t tid);
  void AttachEnclaves();
  std::string Explain(pid_t tid, int error) const;
  void Fail(pid_t tid, int error, Named named);

  const std::string program_;
  Kernel* const kernel_;
  KernelEnclave* const enclave_;
  std::vector<std::unique_ptr<KernelEnclave>> enclaves_;  // all of ghostd's
  std::set<std::string> said_;                            // ways to fail
  int moved_ = 0;
  int unchanged_ = 0;
  int failed_ = 0;
  bool enclave_gone_ = false;
};

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_MOVER_H_
