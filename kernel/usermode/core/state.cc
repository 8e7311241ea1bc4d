#include "kernel/usermode/core/state.h"

#include <cerrno>

#include "lib/base/logging.h"

namespace ghost::usermode {

State::State(const CoreOptions& options, Driver* driver)
    : options(options), driver(driver), identities(static_cast<size_t>(options.max_tasks)) {
  GHOST_CHECK(options.num_cpus >= 1 && options.num_cpus <= CpuSet::kMaxCpus) << options.num_cpus << " cpus";
  cpus.resize(static_cast<size_t>(options.num_cpus));
  for (int cpu = 0; cpu < options.num_cpus; ++cpu) cpus[cpu].id = cpus[cpu].status.cpu = cpu;
}

Task* State::FindTask(int64_t gtid) {
  auto found = tasks.find(gtid);
  return found == tasks.end() ? nullptr : found->second.get();
}

Agent* State::FindAgent(Tid tid) {
  auto found = agents.find(tid);
  return found == agents.end() ? nullptr : found->second.get();
}

Agent* State::FindAgentByGtid(int64_t gtid) {
  Identity* identity = identities.FindGtid(gtid);
  if (identity == nullptr) return nullptr;
  Agent* agent = FindAgent(identity->tid);
  return agent != nullptr && agent->gtid == gtid ? agent : nullptr;
}

void State::FindSource(int64_t gtid, const Caller& caller, Task** task, Agent** agent) {
  if (gtid != 0) {
    *task = FindTask(gtid);
    *agent = FindAgentByGtid(gtid);
    return;
  }
  auto found = tasks_by_tid.find(caller.tid());
  *task = found == tasks_by_tid.end() ? nullptr : found->second;
  *agent = FindAgent(caller.tid());
}

Queue* State::FindQueue(uint64_t region) {
  auto found = queues.find(region);
  return found == queues.end() ? nullptr : found->second.get();
}

Queue* State::QueueOfFd(Caller& caller, int fd, int* error) {
  std::optional<uint64_t> region = caller.RegionOfFd(fd);
  Queue* queue = region.has_value() && *region != 0 ? FindQueue(*region) : nullptr;
  *error = queue == nullptr || queue->enclave == nullptr ? -EBADF : 0;
  return *error == 0 ? queue : nullptr;
}

void State::SetQueue(Queue** slot, Queue* queue) {
  Queue* old = *slot;
  if (old == queue) return;
  if (queue != nullptr) ++queue->references;
  *slot = queue;
  if (old != nullptr) {
    --old->references;
    ReleaseQueue(old);
  }
}

void State::ReleaseQueue(Queue* queue) {
  if (queue->enclave != nullptr || queue->references > 0) return;
  driver->FreeRegion(queue->region.id);
  queues.erase(queue->region.id);
}

}  // namespace ghost::usermode
