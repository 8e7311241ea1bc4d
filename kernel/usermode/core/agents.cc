#include "kernel/usermode/core/agents.h"

#include <cerrno>
#include <cstdlib>

#include "kernel/usermode/core/kernel.h"

namespace ghost::usermode {

Agents::Agents(Kernel& kernel) : kernel_(kernel), state_(kernel.state) {}

int Agents::Become(Enclave& enclave, int id, int fd, Caller& caller) {
  if (fd < -1) return -EBADF;
  if (state_.FindAgent(caller.tid()) != nullptr || state_.tasks_by_tid.contains(caller.tid())) return -EPERM;
  if (!caller.HasCapSysNice()) return -EPERM;
  Queue* queue = nullptr;
  if (fd >= 0) {
    int error = 0;
    queue = state_.QueueOfFd(caller, fd, &error);
    if (queue == nullptr) return error;
  }
  if (!state_.OnlineCpu(id)) return -EINVAL;
  Cpu& cpu = state_.cpus[static_cast<size_t>(id)];
  if (cpu.agent != nullptr) return -EBUSY;
  kernel_.committer.KillReady(cpu);
  if (cpu.enclave != &enclave) return -ENODEV;
  if (queue == nullptr) queue = enclave.default_queue;
  if (queue == nullptr) return -ENXIO;
  if (enclave.dying) return -EXDEV;
  Identity& identity = *state_.IdentityOf(caller.tid());
  StatusWord word = enclave.words.Allocate(identity.gtid, GHOST_SW_TASK_IS_AGENT | GHOST_SW_TASK_RUNNABLE);
  if (!word) return -ENOMEM;
  if (int error = state_.driver->AttachAgent(caller.tid(), id); error != 0) {
    enclave.words.Free(word);
    return -std::abs(error);
  }

  auto owned = std::make_unique<Agent>();
  Agent& agent = *owned;
  agent.identity = &identity;
  agent.gtid = identity.gtid;
  agent.tid = caller.tid();
  agent.tgid = caller.tgid();
  agent.cpu = &cpu;
  agent.enclave = &enclave;
  agent.word = word;
  word.SetOnCpu(state_.driver->NowNs());
  state_.SetQueue(&agent.queue, queue);
  state_.identities.AddUser(&identity);
  state_.agents[agent.tid] = std::move(owned);
  ++enclave.num_agents;
  enclave.had_agent = true;
  cpu.agent = &agent;
  cpu.blocked_in_run = false;
  cpu.agent_should_wake = false;
  cpu.announced_available = false;
  kernel_.programs.CpuChanged(cpu);
  kernel_.ticker.Need();
  kernel_.scheduler.Resched(cpu);
  return 0;
}

int Agents::Run(const ghost_ioc_run& run, Caller& caller, uint64_t request, bool* parked) {
  Agent* agent = state_.FindAgent(caller.tid());
  // An agent had the capability when it became one; looking it up again would dominate the cost of a RUN.
  if (agent == nullptr && !caller.HasCapSysNice()) return -EPERM;
  if (!state_.OnlineCpu(run.run_cpu)) return -EINVAL;
  if ((run.run_flags & ~RTLA_ON_IDLE) != 0 || (run.run_flags != 0 && run.gtid < 0)) return -EINVAL;
  Cpu& cpu = state_.cpus[static_cast<size_t>(run.run_cpu)];
  if (run.gtid == GHOST_AGENT_GTID) {
    if (cpu.agent == nullptr) return -EINVAL;
    if (cpu.agent->tgid != (agent != nullptr ? agent->tgid : caller.tgid())) return -EINVAL;
    ++cpu.agent_barrier;
    kernel_.scheduler.ScheduleAgent(cpu);
    return 0;
  }
  if (run.gtid != GHOST_NULL_GTID || agent == nullptr || agent->cpu != &cpu || agent->parked) return -EINVAL;

  kernel_.scheduler.RefreshBarrier(cpu);
  if (cpu.agent_barrier != run.agent_barrier) return -ESTALE;
  cpu.blocked_in_run = true;
  cpu.run_flags = static_cast<uint16_t>(run.run_flags);
  ++cpu.seqnum;
  Park(*agent, request, 0);
  *parked = true;
  return 0;
}

void Agents::Park(Agent& agent, uint64_t request, int result) {
  agent.parked = true;
  agent.request = request;
  agent.result = result;
  agent.word.SetOffCpu();
  kernel_.scheduler.Resched(*agent.cpu);
}

void Agents::Interrupt(uint64_t request) {
  for (Cpu& cpu : state_.cpus) {
    if (cpu.agent != nullptr && cpu.agent->parked && cpu.agent->request == request) {
      return kernel_.scheduler.UnblockAgent(cpu);
    }
  }
}

void Agents::OnExited(Tid tid) {
  Agent* agent = state_.FindAgent(tid);
  if (agent == nullptr) return;
  Cpu& cpu = *agent->cpu;
  Enclave& enclave = *agent->enclave;
  agent->word.SetBarrier(cpu.agent_barrier);
  agent->word.SetOffCpu();
  agent->word.ClearFlags(GHOST_SW_TASK_RUNNABLE);
  agent->word.SetFlags(GHOST_SW_F_CANFREE);
  if (agent->parked) state_.driver->CompleteRequest(agent->request, -EINTR);  // nobody waits for it any more
  kernel_.scheduler.PreemptLatched(cpu);
  cpu.agent = nullptr;
  kernel_.programs.CpuChanged(cpu);
  cpu.run_flags = 0;
  cpu.agent_barrier = 0;
  cpu.blocked_in_run = false;
  cpu.agent_should_wake = false;
  kernel_.committer.KillReady(cpu);
  kernel_.messenger.WakeAgent(agent->queue, cpu.id);
  state_.SetQueue(&agent->queue, nullptr);
  Identity* identity = agent->identity;
  state_.identities.Exited(identity);
  state_.identities.DropUser(identity);
  state_.agents.erase(tid);
  --enclave.num_agents;
  kernel_.scheduler.Resched(cpu);  // whoever runs there is taken off
  if (enclave.dying) kernel_.enclaves.RemoveCpu(cpu);
  kernel_.queues.DropAbandoned(enclave);
  kernel_.enclaves.Released(enclave);
}

void Agents::OnSleeps(Tid tid) {
  Agent* agent = state_.FindAgent(tid);
  if (agent == nullptr || agent->parked || agent->sleeping) return;
  if (agent->enclave->tunables.deliver_agent_runnability) kernel_.messenger.AgentSleeps(*agent->cpu);
  agent->sleeping = true;
  agent->word.SetOffCpu();
  agent->word.ClearFlags(GHOST_SW_TASK_RUNNABLE);
  kernel_.scheduler.Resched(*agent->cpu);
}

void Agents::OnWoken(Tid tid) {
  Agent* agent = state_.FindAgent(tid);
  if (agent == nullptr || !agent->sleeping) return;
  agent->sleeping = false;
  agent->word.SetFlags(GHOST_SW_TASK_RUNNABLE);
  agent->word.SetOnCpu(state_.driver->NowNs());
  if (agent->enclave->tunables.deliver_agent_runnability) kernel_.messenger.AgentWoke(*agent->cpu);
  kernel_.scheduler.Resched(*agent->cpu);
}

}  // namespace ghost::usermode
