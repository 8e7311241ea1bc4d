#include "kernel/usermode/core/invariants.h"

#include <cstdlib>

#include "absl/container/flat_hash_map.h"
#include "lib/base/logging.h"

namespace ghost::usermode {
namespace {

void CheckCpu(const State& state, const Cpu& cpu) {
  GHOST_CHECK((cpu.enclave == nullptr) == (cpu.txn == nullptr)) << "cpu " << cpu.id;
  GHOST_CHECK(cpu.enclave == nullptr || cpu.enclave->cpus.Contains(cpu.id)) << "cpu " << cpu.id;
  GHOST_CHECK(cpu.prev == nullptr && !cpu.need_resched) << "cpu " << cpu.id << " has not settled";
  GHOST_CHECK(cpu.latched == nullptr || !cpu.latched_idle) << "cpu " << cpu.id;
  if (cpu.current != nullptr) {
    GHOST_CHECK(cpu.current->state == TaskState::kRunning && cpu.current->cpu == cpu.id) << "cpu " << cpu.id;
    GHOST_CHECK(!cpu.AgentRuns() || cpu.current->preempting) << "cpu " << cpu.id << " runs an agent and a task";
  }
  if (cpu.latched != nullptr) {
    GHOST_CHECK(cpu.latched->latched_on == &cpu && cpu.latched->state == TaskState::kRunnable) << "cpu " << cpu.id;
  }
  if (cpu.agent != nullptr) {
    const Agent& agent = *cpu.agent;
    GHOST_CHECK(agent.cpu == &cpu && agent.enclave == cpu.enclave) << "cpu " << cpu.id;
    // One that may run again waits only for the current task to leave, or for its CPU to be plugged in.
    GHOST_CHECK(!agent.parked || cpu.blocked_in_run || cpu.current != nullptr || !cpu.online) << "cpu " << cpu.id;
    GHOST_CHECK(agent.parked || !cpu.blocked_in_run) << "cpu " << cpu.id;
    auto found = state.agents.find(agent.tid);
    GHOST_CHECK(found != state.agents.end() && found->second.get() == cpu.agent) << "agent " << agent.tid;
  }
}

void CheckTask(const State& state, const Task& task) {
  const Cpu& cpu = state.cpus[static_cast<size_t>(task.cpu)];
  GHOST_CHECK((task.state == TaskState::kRunning) == (cpu.current == &task)) << "gtid " << task.gtid;
  GHOST_CHECK(!task.preempting || task.state == TaskState::kRunning) << "gtid " << task.gtid;
  GHOST_CHECK(task.latched_on == nullptr || task.latched_on->latched == &task) << "gtid " << task.gtid;
  const bool waits = static_cast<const ListHook<WaitingTag>&>(task).is_linked();
  GHOST_CHECK(waits == (task.state == TaskState::kRunnable)) << "gtid " << task.gtid;
  GHOST_CHECK(!task.new_pending || task.state == TaskState::kEntering) << "gtid " << task.gtid;
  GHOST_CHECK(task.identity->gtid == task.gtid && task.identity->users > 0) << "gtid " << task.gtid;
  GHOST_CHECK(task.word && task.word.gtid() == task.gtid) << "gtid " << task.gtid;
  const uint32_t flags = task.word.flags();
  GHOST_CHECK(((flags & GHOST_SW_TASK_RUNNABLE) != 0) == (task.state != TaskState::kBlocked)) << "gtid " << task.gtid;
  const bool on_cpu = task.state == TaskState::kRunning || task.state == TaskState::kEntering;
  GHOST_CHECK(((flags & GHOST_SW_TASK_ONCPU) != 0) == on_cpu) << "gtid " << task.gtid;
}

void CheckEnclave(const Enclave& enclave) {
  size_t members = 0;
  size_t announced = 0;
  for (const Task& task : enclave.members) {
    GHOST_CHECK(task.enclave == &enclave) << "gtid " << task.gtid;
    ++members;
    if (!task.new_pending) ++announced;
  }
  GHOST_CHECK(members == enclave.num_members && announced == enclave.num_announced) << enclave.name();
  int64_t last_ns = INT64_MIN;
  for (const Task& task : enclave.waiting) {
    GHOST_CHECK(task.enclave == &enclave && task.waiting_since_ns >= last_ns) << "gtid " << task.gtid;
    last_ns = task.waiting_since_ns;
  }
  for (const Queue* queue : enclave.queues) GHOST_CHECK(queue->enclave == &enclave) << "queue " << queue->id;
  GHOST_CHECK(!enclave.dying || enclave.members.empty()) << enclave.name();
}

}  // namespace

void CheckInvariants(const State& state) {
  size_t members = 0;
  int agents = 0;
  for (const Cpu& cpu : state.cpus) CheckCpu(state, cpu);
  for (const auto& enclave : state.enclaves) {
    CheckEnclave(*enclave);
    members += enclave->num_members;
    agents += enclave->num_agents;
  }
  GHOST_CHECK(members == state.tasks.size()) << members << " members, " << state.tasks.size() << " tasks";
  GHOST_CHECK(static_cast<size_t>(agents) == state.agents.size());
  absl::flat_hash_map<const Queue*, int> references;
  for (const auto& [gtid, task] : state.tasks) {
    CheckTask(state, *task);
    ++references[task->queue];
  }
  for (const auto& [tid, agent] : state.agents) ++references[agent->queue];
  for (const auto& [region, queue] : state.queues) {
    GHOST_CHECK(queue->references == references[queue.get()]) << "queue " << queue->id;
    GHOST_CHECK(queue->enclave != nullptr || queue->references > 0) << "queue " << queue->id;
  }
}

}  // namespace ghost::usermode
