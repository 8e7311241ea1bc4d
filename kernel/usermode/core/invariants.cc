#include "kernel/usermode/core/invariants.h"

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "lib/base/logging.h"

namespace ghost::usermode {
namespace {

// Ends the function with what the condition says, and of whom, if it does not hold.
#define MUST_HOLD(condition, ...) \
  if (!(condition)) return absl::StrCat("not so: " #condition ": ", __VA_ARGS__)

std::string OfCpu(const State& state, const Cpu& cpu) {
  MUST_HOLD((cpu.enclave == nullptr) == (cpu.txn == nullptr), "cpu ", cpu.id);
  MUST_HOLD(cpu.enclave == nullptr || cpu.enclave->cpus.Contains(cpu.id), "cpu ", cpu.id);
  MUST_HOLD(cpu.prev == nullptr && !cpu.need_resched, "cpu ", cpu.id, " has not settled");
  MUST_HOLD(cpu.latched == nullptr || !cpu.latched_idle, "cpu ", cpu.id);
  if (cpu.current != nullptr) {
    MUST_HOLD(cpu.current->state == TaskState::kRunning && cpu.current->cpu == cpu.id, "cpu ", cpu.id);
    MUST_HOLD(!cpu.AgentRuns() || cpu.current->preempting, "cpu ", cpu.id, " runs an agent and a task");
  }
  if (cpu.latched != nullptr) {
    MUST_HOLD(cpu.latched->latched_on == &cpu && cpu.latched->state == TaskState::kRunnable, "cpu ", cpu.id);
  }
  if (cpu.agent != nullptr) {
    const Agent& agent = *cpu.agent;
    MUST_HOLD(agent.cpu == &cpu && agent.enclave == cpu.enclave, "cpu ", cpu.id);
    // One that may run again waits only for the current task to leave, or for its CPU to be plugged in.
    MUST_HOLD(!agent.parked || cpu.blocked_in_run || cpu.current != nullptr || !cpu.online, "cpu ", cpu.id);
    MUST_HOLD(agent.parked || !cpu.blocked_in_run, "cpu ", cpu.id);
    auto found = state.agents.find(agent.tid);
    MUST_HOLD(found != state.agents.end() && found->second.get() == cpu.agent, "agent ", agent.tid);
  }
  return "";
}

std::string OfTask(const State& state, const Task& task) {
  const Cpu& cpu = state.cpus[static_cast<size_t>(task.cpu)];
  MUST_HOLD((task.state == TaskState::kRunning) == (cpu.current == &task), "gtid ", task.gtid);
  MUST_HOLD(!task.preempting || task.state == TaskState::kRunning, "gtid ", task.gtid);
  MUST_HOLD(task.latched_on == nullptr || task.latched_on->latched == &task, "gtid ", task.gtid);
  const bool waits = static_cast<const ListHook<WaitingTag>&>(task).is_linked();
  MUST_HOLD(waits == (task.state == TaskState::kRunnable), "gtid ", task.gtid);
  MUST_HOLD(!task.new_pending || task.state == TaskState::kEntering, "gtid ", task.gtid);
  MUST_HOLD(task.identity->gtid == task.gtid && task.identity->users > 0, "gtid ", task.gtid);
  MUST_HOLD(task.word && task.word.gtid() == task.gtid, "gtid ", task.gtid);
  const uint32_t flags = task.word.flags();
  MUST_HOLD(((flags & GHOST_SW_TASK_RUNNABLE) != 0) == (task.state != TaskState::kBlocked), "gtid ", task.gtid);
  const bool on_cpu = task.state == TaskState::kRunning || task.state == TaskState::kEntering;
  MUST_HOLD(((flags & GHOST_SW_TASK_ONCPU) != 0) == on_cpu, "gtid ", task.gtid);
  return "";
}

std::string OfEnclave(const Enclave& enclave) {
  size_t members = 0;
  size_t announced = 0;
  for (const Task& task : enclave.members) {
    MUST_HOLD(task.enclave == &enclave, "gtid ", task.gtid);
    ++members;
    if (!task.new_pending) ++announced;
  }
  MUST_HOLD(members == enclave.num_members && announced == enclave.num_announced, enclave.name());
  int64_t last_ns = INT64_MIN;
  for (const Task& task : enclave.waiting) {
    MUST_HOLD(task.enclave == &enclave && task.waiting_since_ns >= last_ns, "gtid ", task.gtid);
    last_ns = task.waiting_since_ns;
  }
  for (const Queue* queue : enclave.queues) MUST_HOLD(queue->enclave == &enclave, "queue ", queue->id);
  MUST_HOLD(!enclave.dying || enclave.members.empty(), enclave.name());
  return "";
}

std::string OfQueues(const State& state) {
  absl::flat_hash_map<const Queue*, int> references;
  for (const auto& [gtid, task] : state.tasks) ++references[task->queue];
  for (const auto& [tid, agent] : state.agents) ++references[agent->queue];
  for (const auto& [region, queue] : state.queues) {
    MUST_HOLD(queue->references == references[queue.get()], "queue ", queue->id);
    MUST_HOLD(queue->enclave != nullptr || queue->references > 0, "queue ", queue->id);
  }
  return "";
}

#undef MUST_HOLD

}  // namespace

std::string FindInconsistency(const State& state) {
  size_t members = 0;
  int agents = 0;
  for (const Cpu& cpu : state.cpus) {
    if (std::string what = OfCpu(state, cpu); !what.empty()) return what;
  }
  for (const auto& enclave : state.enclaves) {
    if (std::string what = OfEnclave(*enclave); !what.empty()) return what;
    members += enclave->num_members;
    agents += enclave->num_agents;
  }
  if (members != state.tasks.size()) return absl::StrCat(members, " members, ", state.tasks.size(), " tasks");
  if (static_cast<size_t>(agents) != state.agents.size()) {
    return absl::StrCat(agents, " agents in enclaves, ", state.agents.size(), " in all");
  }
  for (const auto& [gtid, task] : state.tasks) {
    if (std::string what = OfTask(state, *task); !what.empty()) return what;
  }
  return OfQueues(state);
}

void CheckInvariants(const State& state) {
  const std::string what = FindInconsistency(state);
  GHOST_CHECK(what.empty()) << what;
}

}  // namespace ghost::usermode
