// An agent program is two processes: the parent (command line, signals, the user's terminal) and a forked child that is
// the scheduler. So a scheduler that crashes leaves somebody to say so, and no signal ever interrupts an agent.
//
//     parent ──fork──> child "ap_child"          own process group, ignores the terminal's signals,
//       │ control        ├─ "ap_rpc"             is killed when the parent dies
//       │ rpc            └─ "ap_task_<cpu>" …    the agents, started by the body
//
// The parent forks while it is single-threaded, before it starts any thread of its own, and keeps its main thread (the
// child is killed when the thread that forked it ends). The child leaves with _exit: no destructor of the parent's
// objects runs there.
//
// Threads: AgentProcess belongs to one thread; rpc() may be called from all. What is not here: flags and signals
// (lib/program/agent_main.h).
#ifndef GHOST_LIB_AGENT_PROCESS_H_
#define GHOST_LIB_AGENT_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/file.h"
#include "lib/base/process.h"
#include "lib/program/agent_rpc.h"

namespace ghost {

// What the child tells the parent once it is ready, and what it keeps.
struct AgentReport {
  std::string enclave;  // its directory
  std::string note;     // a line for the user, or ""
  ScopedFd control;     // not told: where others may ask (lib/program/control_socket.h), or none
};

// The scheduler, made and used in the child only.
class AgentBody {
 public:
  virtual ~AgentBody() = default;

  // In the child's main thread. When it returns OK, agents schedule. `cancel` is a descriptor that becomes readable
  // when the parent wants it to give up (Cancelled is the answer then); only long waits need to look.
  virtual absl::StatusOr<AgentReport> Start(int cancel) = 0;
  // In ap_rpc, after Start and before Stop, for the parent and for whoever asks over AgentReport::control. Unknown
  // codes: the default response (-1).
  virtual RpcResponse HandleRpc(RpcRequest& request) = 0;
  // In the child's main thread, if Start was OK: waits until `cancel` is readable; or returns earlier, with the reason
  // why the scheduler can't go on.
  virtual absl::Status WaitUntilOver(int cancel);
  // In the child's main thread, once, if Start was OK.
  virtual absl::Status Stop() = 0;
};

class AgentProcess {
 public:
  using MakeBody = std::function<std::unique_ptr<AgentBody>()>;

  // Forks. Signals that are to be ignored by the child, and blocked in the parent, are the caller's to block before.
  static absl::StatusOr<std::unique_ptr<AgentProcess>> Fork(const MakeBody& make_body);
  AgentProcess(const AgentProcess&) = delete;
  AgentProcess& operator=(const AgentProcess&) = delete;

  pid_t pid() const { return child_->pid(); }
  // Readable when the child is dead; readable when the child has said something (or is dead).
  int pidfd() const { return child_->pidfd().get(); }
  int control() const { return control_.get(); }

  // The result of the body's Start. Waits for it; Unavailable if the child dies instead, and says how.
  absl::StatusOr<AgentReport> TakeReport();

  // To the body; see RpcClient::Call.
  absl::StatusOr<RpcResponse> Rpc(const RpcRequest& request, absl::Duration timeout) {
    return rpc_->Call(request, timeout);
  }

  // Asks the child to stop, or to give up starting. Wait() tells what came of it.
  void RequestStop();
  void Kill();
  // Waits until the child is dead and reaps it: OK if it stopped as asked, else what went wrong.
  absl::Status Wait();

  // Threads of this process other than the caller: forking is unsafe if there are any.
  static int CountOtherThreads();

 private:
  AgentProcess() = default;
  // The child's main. Returns its exit code.
  static int RunChild(const MakeBody& make_body, int control, int rpc);

  std::optional<ChildProcess> child_;  // killed and reaped with the object
  ScopedFd control_;
  std::optional<RpcClient> rpc_;
  std::optional<absl::Status> ended_;
};

}  // namespace ghost

#endif  // GHOST_LIB_AGENT_PROCESS_H_
