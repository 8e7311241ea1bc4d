// What agent_sol says of its overhead: the mean time of its loop, and a dump that models it as a queue with one server.
//
//   A    messages that come in a second
//   T_d  time of a loop that goes to dispatching messages, T_a the rest, T_t both, in µs
//   S    messages that could be served in a second: A is to S as T_d is to T_t
//   L    messages in the system, on average, were it a queue with such rates: (A/S) / (1 - A/S)
#ifndef GHOST_SCHEDULERS_SOL_SOL_STATS_H_
#define GHOST_SCHEDULERS_SOL_SOL_STATS_H_

#include <cstdint>
#include <string>

#include "lib/loop_meter.h"
#include "lib/program/agent_rpc.h"
#include "lib/runtime.h"

namespace ghost {

// The agent's own requests, besides those of all agents.
inline constexpr int64_t kRpcSolOverhead = 2;   // the response code is the mean ns of a loop
inline constexpr int64_t kRpcSolDumpStats = 3;  // to stderr

// "-----" lines around three lines of figures, each with its newline. `messages`: how many were read in these loops.
std::string DescribeLoops(const LoopMeter::Totals& loops, uint64_t messages);

// AgentProgram::handle_rpc and at_end: the runtime must be a centralized one.
bool HandleSolRpc(Runtime& runtime, RpcRequest& request, RpcResponse* response);
void SayMeanLoop(Runtime& runtime);  // "<N> nsecs" on stdout

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_SOL_SOL_STATS_H_
