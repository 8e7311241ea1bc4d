// What a running agent can be asked, and both sides of it: AgentRequests answers in the agent's process (to its parent
// and to ghostctl), AgentClient asks.
//
// Codes below 100 are those that agents have always had; a program may have some of its own there (AgentProgram's
// handle_rpc, which is asked before all others). Ours start at 100. Text is in words for people; what a client needs to
// tell apart is in the response's code.
//
// What it is not: how requests travel (lib/program/agent_rpc.h) and who may ask (lib/program/control_socket.h).
//
// Threads: one for an AgentRequests (ap_rpc), one for an AgentClient. No request waits for a schedule pass, but a dump
// for the gap between two.
#ifndef GHOST_LIB_PROGRAM_AGENT_REQUESTS_H_
#define GHOST_LIB_PROGRAM_AGENT_REQUESTS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/cpu_set.h"
#include "lib/program/agent_rpc.h"
#include "lib/runtime.h"

namespace ghost {

inline constexpr int64_t kRpcDumpState = 1;   // to stderr; arg0: 0 always, 1 only if there are tasks
inline constexpr int64_t kRpcCountTasks = 2;  // the response code is the number

// The answers of these have the code 0, or 1 and a Status.
inline constexpr int64_t kRpcDescribe = 100;      // strings program, version, CPUs, counters' names; pid_t; totals
inline constexpr int64_t kRpcCounters = 101;      // arg0: a CPU. Its counters, in the order of the names
inline constexpr int64_t kRpcListTunables = 102;  // four strings each: name, value, range, what it is
inline constexpr int64_t kRpcSetTunables = 103;   // strings "name=value", as many as arg0; all are set, or none
inline constexpr int64_t kRpcReadDump = 104;      // the next part of a dump, and its size in all; arg0: bytes read so
                                                  // far, arg1: which dump (of no account if arg0 is 0)

// A program's own requests. True: this was one, and *response is the answer.
using HandleProgramRpc = std::function<bool(Runtime&, RpcRequest&, RpcResponse*)>;

class AgentRequests {
 public:
  // `runtime` must outlive it.
  AgentRequests(std::string program, Runtime* runtime, HandleProgramRpc own = nullptr)
      : program_(std::move(program)), runtime_(runtime), own_(std::move(own)) {}

  // A code that nobody knows: the default response (-1).
  RpcResponse Handle(RpcRequest& request);

 private:
  absl::Status Answer(RpcRequest& request, RpcBuffer* answer);
  absl::Status Describe(RpcBuffer* answer);
  absl::Status ListTunables(RpcBuffer* answer);
  absl::Status SetTunables(RpcRequest& request);
  absl::Status ReadDump(const RpcRequest& request, RpcBuffer* answer);

  const std::string program_;
  Runtime* const runtime_;
  const HandleProgramRpc own_;
  std::string dump_;  // the last one that was asked for
  int64_t dump_id_ = 0;
};

class AgentClient {
 public:
  struct Description {
    std::string program;
    std::string version;  // of the project
    std::string cpus;     // a list
    pid_t pid = 0;        // the one to signal: the agent's parent, in the agent's pid namespace
    std::vector<std::pair<std::string, uint64_t>> counters;  // of all CPUs
  };
  struct TunableView {
    std::string name, value, range, what;
  };

  explicit AgentClient(ScopedFd socket) : rpc_(std::move(socket), -1) {}

  // Errors: what RpcClient::Call has, or what the agent said.
  absl::StatusOr<Description> Describe();
  absl::StatusOr<std::vector<uint64_t>> Counters(int cpu);
  absl::StatusOr<std::vector<TunableView>> Tunables();
  // Each as "name=value". Nothing is set if one is wrong.
  absl::Status Set(const std::vector<std::string>& assignments);
  absl::StatusOr<std::string> Dump();
  absl::StatusOr<int64_t> CountTasks() { return Request(kRpcCountTasks, 0, 0); }
  // Any request with numbers alone: the code of the response.
  absl::StatusOr<int64_t> Request(int64_t code, int64_t arg0, int64_t arg1);

 private:
  absl::StatusOr<RpcResponse> Call(const RpcRequest& request);
  // The buffer of an answer whose code is 0.
  absl::StatusOr<RpcBuffer> Ask(const RpcRequest& request);

  RpcClient rpc_;
};

}  // namespace ghost

#endif  // GHOST_LIB_PROGRAM_AGENT_REQUESTS_H_
