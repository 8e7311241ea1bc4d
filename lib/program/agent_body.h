// RuntimeBody: what an agent program's child does: make or join the enclave, take over from an old agent, run a
// Runtime, and leave no trace at the end.
//
// Used by lib/program/agent_main.cc and tests. Threads: as AgentBody says (lib/program/agent_process.h).
#ifndef GHOST_LIB_AGENT_BODY_H_
#define GHOST_LIB_AGENT_BODY_H_

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/cpu_set.h"
#include "lib/base/file.h"
#include "lib/base/time.h"
#include "lib/enclave.h"
#include "lib/kernel.h"
#include "lib/program/agent_process.h"
#include "lib/program/agent_requests.h"
#include "lib/runtime.h"

namespace ghost {

// "I am going to take this enclave over": told to its agent, so that it does not destroy what it made when it ends. A
// shared flock(2) on the enclave's directory; the agent that ends must get it exclusively to destroy the enclave.
// Forked children share it.
//
// `was_online`: when it was taken, the enclave had an agent.
class EnclaveClaim {
 public:
  // Busy if its agent is destroying it just now. A directory that can't be locked is claimed by nobody: no error.
  static absl::StatusOr<EnclaveClaim> Take(const std::string& enclave);
  // For the agent that ends: until the result goes, nobody can claim the enclave. Not valid(): somebody has.
  static ScopedFd Refuse(const std::string& enclave);
  void Release();  // for all who share it

  bool was_online() const { return was_online_; }
  Time taken() const { return taken_; }

 private:
  ScopedFd fd_;
  bool was_online_ = false;
  Time taken_;
};

using MakeRuntime = std::function<std::unique_ptr<Runtime>(Enclave*, RuntimeOptions)>;

class RuntimeBody : public AgentBody {
 public:
  struct Options {
    std::string program;  // starts the lines that it prints
    std::string enclave;  // the one to join; empty: a new one with `cpus`
    CpuSet cpus;
    std::shared_ptr<EnclaveClaim> claim;  // on it; released once this one serves it
    absl::Duration handover_timeout;      // how long an old agent is waited for
    bool print_counters = false;          // to stderr, at the end
    MakeRuntime make_runtime;
    HandleProgramRpc handle_rpc = nullptr;
    std::function<void(Runtime&)> at_end = nullptr;  // once agents have ended
  };
  // `kernel` must outlive it.
  RuntimeBody(Kernel* kernel, Options options) : kernel_(kernel), options_(std::move(options)) {}
  ~RuntimeBody() override;

  absl::StatusOr<AgentReport> Start(int cancel) override;
  RpcResponse HandleRpc(RpcRequest& request) override;
  absl::Status WaitUntilOver(int cancel) override;
  absl::Status Stop() override;

 private:
  absl::Status OldAgentStays() const;
  // Not valid() if others can't ask this agent, which is said then.
  ScopedFd ListenForOthers() const;
  // From an agent's thread.
  void OnKernelGone(const absl::Status& status);
  // Waits until the enclave has no agent, and sets old_agent_.
  absl::Status WaitForOldAgent(int cancel);
  // "took over … with … tasks; blackout: …".
  std::string TakeoverNote() const;
  void PrintCounters() const;

  Kernel* const kernel_;
  const Options options_;
  enum class OldAgent { kNone, kLeftBefore, kLeft } old_agent_ = OldAgent::kNone;
  Time offline_;      // when the old agent left; kLeftBefore: at the earliest
  ScopedFd gone_fd_;  // an eventfd: the kernel is gone, gone_status_ says why
  std::mutex gone_mutex_;
  absl::Status gone_status_;  // guarded by gone_mutex_
  std::unique_ptr<Enclave> enclave_;
  std::unique_ptr<Runtime> runtime_;
  std::optional<AgentRequests> requests_;
};

}  // namespace ghost

#endif  // GHOST_LIB_AGENT_BODY_H_
