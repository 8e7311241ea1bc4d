#include "lib/program/agent_requests.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/cli.h"
#include "lib/tunable.h"

namespace ghost {
namespace {

// How long a dump waits for each agent, and a client for an answer.
constexpr absl::Duration kDumpTimeout = absl::Seconds(1);
constexpr absl::Duration kAnswerTimeout = absl::Seconds(5);
// Of a dump, in one answer. Some of the buffer goes to what else is said.
constexpr size_t kDumpPart = RpcBuffer::kCapacity - 256;

std::string CounterNames() {
  std::vector<std::string> names;
  for (const RuntimeCounterName& counter : kRuntimeCounters) names.emplace_back(counter.name);
  return absl::StrJoin(names, " ");
}

std::vector<uint64_t> CounterValues(const RuntimeCounters& counters) {
  std::vector<uint64_t> values;
  for (const RuntimeCounterName& counter : kRuntimeCounters) values.push_back(counters.*counter.member);
  return values;
}

}  // namespace

RpcResponse AgentRequests::Handle(RpcRequest& request) {
  RpcResponse response;
  if (own_ && own_(*runtime_, request, &response)) return response;
  switch (request.code) {
    case kRpcDumpState:
      response.code = 0;
      if (request.arg0 == 0 || runtime_->CountTasks() > 0) std::cerr << runtime_->DumpState(kDumpTimeout) << std::flush;
      return response;
    case kRpcCountTasks:
      response.code = runtime_->CountTasks();
      return response;
  }
  const absl::Status status = Answer(request, &response.buffer);
  if (absl::IsUnimplemented(status)) return RpcResponse();
  response.code = status.ok() ? 0 : 1;
  if (!status.ok()) response.buffer = RpcBuffer::OfStatus(status);
  return response;
}

absl::Status AgentRequests::Answer(RpcRequest& request, RpcBuffer* answer) {
  switch (request.code) {
    case kRpcDescribe:
      return Describe(answer);
    case kRpcCounters: {
      const bool ours = request.arg0 >= 0 && request.arg0 < CpuSet::kMaxCpus &&
                        runtime_->cpus().Contains(static_cast<int>(request.arg0));
      if (!ours) return absl::InvalidArgumentError(absl::StrCat("CPU ", request.arg0, " is not the agent's"));
      return answer->SerializeVector(CounterValues(runtime_->Counters(static_cast<int>(request.arg0))));
    }
    case kRpcListTunables:
      return ListTunables(answer);
    case kRpcSetTunables:
      return SetTunables(request);
    case kRpcReadDump:
      return ReadDump(request, answer);
  }
  return absl::UnimplementedError("");
}

absl::Status AgentRequests::Describe(RpcBuffer* answer) {
  GHOST_RETURN_IF_ERROR(answer->SerializeString(program_));
  GHOST_RETURN_IF_ERROR(answer->SerializeString(kProjectVersion));
  GHOST_RETURN_IF_ERROR(answer->SerializeString(ToCpuList(runtime_->cpus())));
  GHOST_RETURN_IF_ERROR(answer->SerializeString(CounterNames()));
  GHOST_RETURN_IF_ERROR(answer->Serialize(getppid()));
  return answer->SerializeVector(CounterValues(runtime_->TotalCounters()));
}

absl::Status AgentRequests::ListTunables(RpcBuffer* answer) {
  for (const Tunable* tunable : runtime_->Tunables()) {
    GHOST_RETURN_IF_ERROR(answer->SerializeString(tunable->name()));
    GHOST_RETURN_IF_ERROR(answer->SerializeString(tunable->ToString()));
    GHOST_RETURN_IF_ERROR(answer->SerializeString(tunable->Range()));
    GHOST_RETURN_IF_ERROR(answer->SerializeString(tunable->what()));
  }
  return absl::OkStatus();
}

absl::Status AgentRequests::SetTunables(RpcRequest& request) {
  const std::vector<Tunable*> tunables = runtime_->Tunables();
  std::vector<std::pair<Tunable*, std::string>> wanted;
  for (int64_t i = 0; i < request.arg0; ++i) {
    GHOST_ASSIGN_OR_RETURN(const std::string assignment, request.buffer.DeserializeString());
    const std::pair<std::string, std::string> parts = absl::StrSplit(assignment, absl::MaxSplits('=', 1));
    GHOST_ASSIGN_OR_RETURN(Tunable * tunable, FindTunable(tunables, parts.first, program_));
    GHOST_RETURN_IF_ERROR(tunable->Check(parts.second));
    wanted.emplace_back(tunable, parts.second);
  }
  for (const auto& [tunable, value] : wanted) GHOST_RETURN_IF_ERROR(tunable->Set(value));
  return absl::OkStatus();
}

// A dump may be larger than a buffer: it is made once, then read in parts.
absl::Status AgentRequests::ReadDump(const RpcRequest& request, RpcBuffer* answer) {
  if (request.arg0 == 0) {
    dump_ = runtime_->DumpState(kDumpTimeout);
    ++dump_id_;
  } else if (request.arg1 != dump_id_) {
    return absl::AbortedError("somebody else has asked for a dump meanwhile");
  }
  const size_t start = std::min(dump_.size(), static_cast<size_t>(std::max<int64_t>(0, request.arg0)));
  GHOST_RETURN_IF_ERROR(answer->Serialize(dump_id_));
  GHOST_RETURN_IF_ERROR(answer->Serialize(static_cast<int64_t>(dump_.size())));
  return answer->SerializeString(absl::string_view(dump_).substr(start, kDumpPart));
}

absl::StatusOr<RpcResponse> AgentClient::Call(const RpcRequest& request) {
  absl::StatusOr<RpcResponse> response = rpc_.Call(request, kAnswerTimeout);
  if (!response.ok()) return WithHint(response.status(), "it is stopped, stuck or has just ended: ghostctl status");
  return response;
}

absl::StatusOr<RpcBuffer> AgentClient::Ask(const RpcRequest& request) {
  GHOST_ASSIGN_OR_RETURN(RpcResponse response, Call(request));
  if (response.code == 0) return std::move(response.buffer);
  if (response.code != 1) return absl::UnimplementedError("the agent does not know this request");
  absl::Status status;
  GHOST_RETURN_IF_ERROR(response.buffer.DeserializeStatus(&status));
  return status.ok() ? absl::DataLossError("the agent failed without saying why") : status;
}

absl::StatusOr<AgentClient::Description> AgentClient::Describe() {
  GHOST_ASSIGN_OR_RETURN(RpcBuffer buffer, Ask({.code = kRpcDescribe}));
  Description description;
  GHOST_ASSIGN_OR_RETURN(description.program, buffer.DeserializeString());
  GHOST_ASSIGN_OR_RETURN(description.version, buffer.DeserializeString());
  GHOST_ASSIGN_OR_RETURN(description.cpus, buffer.DeserializeString());
  GHOST_ASSIGN_OR_RETURN(const std::string text, buffer.DeserializeString());
  GHOST_ASSIGN_OR_RETURN(description.pid, buffer.Deserialize<pid_t>());
  GHOST_ASSIGN_OR_RETURN(const std::vector<uint64_t> values, buffer.DeserializeVector<uint64_t>());
  const std::vector<std::string> names = absl::StrSplit(text, ' ', absl::SkipEmpty());
  for (size_t i = 0; i < std::min(names.size(), values.size()); ++i) {
    description.counters.emplace_back(names[i], values[i]);
  }
  return description;
}

absl::StatusOr<std::vector<uint64_t>> AgentClient::Counters(int cpu) {
  GHOST_ASSIGN_OR_RETURN(RpcBuffer buffer, Ask({.code = kRpcCounters, .arg0 = cpu}));
  return buffer.DeserializeVector<uint64_t>();
}

absl::StatusOr<std::vector<AgentClient::TunableView>> AgentClient::Tunables() {
  GHOST_ASSIGN_OR_RETURN(RpcBuffer buffer, Ask({.code = kRpcListTunables}));
  std::vector<TunableView> views;
  for (;;) {
    absl::StatusOr<std::string> name = buffer.DeserializeString();
    if (!name.ok()) return views;
    TunableView view = {.name = *std::move(name), .value = {}, .range = {}, .what = {}};
    GHOST_ASSIGN_OR_RETURN(view.value, buffer.DeserializeString());
    GHOST_ASSIGN_OR_RETURN(view.range, buffer.DeserializeString());
    GHOST_ASSIGN_OR_RETURN(view.what, buffer.DeserializeString());
    views.push_back(std::move(view));
  }
}

absl::Status AgentClient::Set(const std::vector<std::string>& assignments) {
  RpcRequest request = {.code = kRpcSetTunables, .arg0 = static_cast<int64_t>(assignments.size())};
  for (const std::string& assignment : assignments) {
    GHOST_RETURN_IF_ERROR(request.buffer.SerializeString(assignment));
  }
  return Ask(request).status();
}

absl::StatusOr<std::string> AgentClient::Dump() {
  std::string dump;
  int64_t id = 0, size = 0;
  do {
    GHOST_ASSIGN_OR_RETURN(RpcBuffer buffer,
                           Ask({.code = kRpcReadDump, .arg0 = static_cast<int64_t>(dump.size()), .arg1 = id}));
    GHOST_ASSIGN_OR_RETURN(id, buffer.Deserialize<int64_t>());
    GHOST_ASSIGN_OR_RETURN(size, buffer.Deserialize<int64_t>());
    GHOST_ASSIGN_OR_RETURN(const std::string part, buffer.DeserializeString());
    if (part.empty()) break;
    dump += part;
  } while (static_cast<int64_t>(dump.size()) < size);
  return dump;
}

absl::StatusOr<int64_t> AgentClient::Request(int64_t code, int64_t arg0, int64_t arg1) {
  GHOST_ASSIGN_OR_RETURN(const RpcResponse response, Call({.code = code, .arg0 = arg0, .arg1 = arg1}));
  return response.code;
}

}  // namespace ghost
