#include "kernel/usermode/core/stats.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernel/abi/message.h"

namespace ghost::usermode {
namespace {

// By final state, from GHOST_TXN_COMPLETE up.
constexpr const char* kStateNames[] = {
    "complete",    "aborted",     "target_oncpu",        "target_stale",  "target_not_found", "target_not_runnable",
    "agent_stale", "cpu_offline", "cpu_unavail",         "invalid_flags", "invalid_target",   "not_permitted",
    "invalid_cpu", "no_agent",    "unsupported_version", "poisoned"};
static_assert(std::size(kStateNames) == std::tuple_size_v<decltype(EnclaveCounters::commits)>);

std::string CpuJson(const Cpu& cpu) {
  const CpuStatus status = StatusOf(cpu);
  return absl::StrCat("    {\"cpu\": ", status.cpu,
                      ", \"enclave\": ", cpu.enclave == nullptr ? "null" : absl::StrCat(cpu.enclave->id),
                      ", \"agent\": ", status.has_agent ? absl::StrCat(cpu.agent->tid) : "null",
                      ", \"agent_running\": ", status.agent_running ? "true" : "false",
                      ", \"current_gtid\": ", status.current_gtid, ", \"latched_gtid\": ", status.latched_gtid,
                      ", \"commits\": ", status.commits, ", \"failed_commits\": ", status.failed_commits,
                      ", \"preempts\": ", status.preempts, ", \"busy_ns\": ", status.busy_ns, "}");
}

// {"TASK_NEW": 3, …}: what has occurred.
std::string MessagesJson(const EnclaveCounters& counters) {
  std::vector<std::string> parts;
  for (size_t type = 0; type < counters.messages.size(); ++type) {
    if (counters.messages[type] == 0) continue;
    parts.push_back(absl::StrCat("\"", MessageTypeName(static_cast<uint16_t>(type)), "\": ", counters.messages[type]));
  }
  return absl::StrCat("{", absl::StrJoin(parts, ", "), "}");
}

std::string CommitsJson(const EnclaveCounters& counters) {
  std::vector<std::string> parts;
  for (size_t state = 0; state < counters.commits.size(); ++state) {
    if (counters.commits[state] == 0) continue;
    parts.push_back(absl::StrCat("\"", kStateNames[state], "\": ", counters.commits[state]));
  }
  return absl::StrCat("{", absl::StrJoin(parts, ", "), "}");
}

// Times in ns.
std::string HistogramJson(const Histogram& histogram) {
  return absl::StrCat("{\"count\": ", histogram.count(), ", \"p50_ns\": ", histogram.Percentile(0.5),
                      ", \"p99_ns\": ", histogram.Percentile(0.99), ", \"max_ns\": ", histogram.max(), "}");
}

std::string ProgramsJson(const ProgramCounters& counters) {
  const auto runs = [&](BpfHook hook) { return counters.runs[static_cast<size_t>(hook)]; };
  const uint64_t pnt = runs(BpfHook::kPickNextTask);
  const uint64_t msg = runs(BpfHook::kSendMessage);
  const uint64_t select_rq = runs(BpfHook::kSelectRq);
  if (pnt + msg + select_rq == 0) return "null";
  return absl::StrCat("{\"pnt\": ", pnt, ", \"msg\": ", msg, ", \"select_rq\": ", select_rq,
                      ", \"latched\": ", counters.latched, ", \"dropped\": ", counters.dropped,
                      ", \"failed_runs\": ", counters.failed_runs, ", \"failed_effects\": ", counters.failed_effects,
                      ", \"throttled\": ", counters.throttled, "}");
}

std::string EnclaveJson(const Enclave& enclave) {
  const EnclaveCounters& counters = enclave.counters;
  return absl::StrCat(
      "    {\"id\": ", enclave.id, ", \"abi\": ", enclave.abi->number, ", \"cpus\": \"", ToCpuList(enclave.cpus),
      "\", \"dying\": ", enclave.dying ? "true" : "false", ", \"active\": ", enclave.agent_online ? "true" : "false",
      ", \"agents\": ", enclave.num_agents, ", \"tasks\": ", enclave.num_announced,
      ", \"queues\": ", enclave.queues.size(), ", \"status_words\": ", enclave.words.allocated(),
      ",\n     \"messages\": ", MessagesJson(counters), ", \"dropped\": ", counters.dropped,
      ",\n     \"commits\": ", CommitsJson(counters), ", \"preempts\": ", counters.preempts,
      ", \"wakeups\": ", counters.wakeups, ",\n     \"runnable_to_run\": ", HistogramJson(counters.runnable_to_run_ns),
      ",\n     \"block_to_run\": ", HistogramJson(counters.block_to_run_ns),
      ",\n     \"programs\": ", ProgramsJson(counters.programs), "}");
}

}  // namespace

CpuStatus StatusOf(const Cpu& cpu) {
  CpuStatus status = cpu.status;
  status.has_agent = cpu.agent != nullptr;
  status.agent_running = cpu.AgentRuns();
  status.current_gtid = cpu.current == nullptr ? 0 : cpu.current->gtid;
  status.latched_gtid = cpu.latched == nullptr ? 0 : cpu.latched->gtid;
  return status;
}

std::string StatsJson(const State& state) {
  std::vector<std::string> cpus;
  for (const Cpu& cpu : state.cpus) cpus.push_back(CpuJson(cpu));
  std::vector<std::string> enclaves;
  for (const auto& enclave : state.enclaves) enclaves.push_back(EnclaveJson(*enclave));
  return absl::StrCat("{\"tasks\": ", state.tasks.size(), ", \"queues\": ", state.queues.size(), ",\n  \"cpus\": [\n",
                      absl::StrJoin(cpus, ",\n"), "],\n  \"enclaves\": [\n", absl::StrJoin(enclaves, ",\n"), "]}\n");
}

}  // namespace ghost::usermode
