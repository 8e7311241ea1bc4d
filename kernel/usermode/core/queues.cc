#include "kernel/usermode/core/queues.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "kernel/usermode/core/kernel.h"

namespace ghost::usermode {

Queues::Queues(Kernel& kernel) : kernel_(kernel), state_(kernel.state) {}

int Queues::Create(Enclave& enclave, Caller& caller, ghost_ioc_create_queue* create) {
  const int elems = create->elems;
  if (elems < 0 || elems > GHOST_MAX_QUEUE_ELEMS || !std::has_single_bit(static_cast<uint32_t>(elems))) return -EINVAL;
  if (create->flags != 0) return -EINVAL;
  if (create->node < 0 || create->node >= state_.options.num_nodes) return -EINVAL;
  create->mapsize = MessageQueue::MapSize(static_cast<uint32_t>(elems));
  DropAbandoned(enclave);
  if (state_.queues.size() >= static_cast<size_t>(state_.options.max_queues)) return -ENOMEM;
  const int id = last_id_ + 1;
  const std::string name = "queue_" + std::to_string(id);
  std::optional<Region> region = state_.driver->AllocateRegion(enclave.name() + "/" + name, create->mapsize);
  if (!region.has_value()) return -ENOMEM;
  last_id_ = id;
  auto queue = std::make_unique<Queue>(static_cast<uint64_t>(id), *region, static_cast<uint32_t>(elems));
  queue->enclave = &enclave;
  queue->creator = caller.tgid();
  queue->node = kernel_.files.AddRegion(enclave, enclave.directory, name, 0600, caller.uid(), *region);
  enclave.queues.push_back(queue.get());
  state_.queues[region->id] = std::move(queue);
  return id;
}

int Queues::Associate(Caller& caller, const ghost_ioc_assoc_queue& assoc) {
  if (assoc.flags != 0) return -EINVAL;
  if (assoc.src.type != GHOST_TASK) return -EINVAL;
  int error = 0;
  Queue* queue = state_.QueueOfFd(caller, assoc.fd, &error);
  if (queue == nullptr) return error;

  Task* task = nullptr;
  Agent* agent = nullptr;
  state_.FindSource(static_cast<int64_t>(assoc.src.arg), caller, &task, &agent);
  if (task == nullptr && agent == nullptr) return -ENOENT;
  const uint32_t barrier = task != nullptr ? task->word.barrier() : agent->cpu->agent_barrier;
  if (barrier != assoc.barrier) return -ESTALE;

  int result = 0;
  Queue** slot = task != nullptr ? &task->queue : &agent->queue;
  if (*slot == queue) result |= GHOST_ASSOC_SF_ALREADY;
  if (task != nullptr && (task->new_pending || task->identity->inhibited)) result |= GHOST_ASSOC_SF_BRAND_NEW;
  state_.SetQueue(slot, queue);
  return result;
}

int Queues::SetDefault(Enclave& enclave, Caller& caller, const ghost_ioc_set_default_queue& set) {
  int error = 0;
  Queue* queue = state_.QueueOfFd(caller, set.fd, &error);
  if (queue == nullptr) return error;
  if (queue->enclave != &enclave) return -EINVAL;
  enclave.default_queue = queue;
  return 0;
}

int Queues::ConfigureWakeup(Caller& caller, const ghost_ioc_config_queue_wakeup& config) {
  if (config.ninfo < 0 || config.ninfo > GHOST_MAX_WINFO) return -EINVAL;
  if (config.flags != 0) return -EINVAL;
  int error = 0;
  Queue* queue = state_.QueueOfFd(caller, config.qfd, &error);
  if (queue == nullptr) return error;
  std::array<ghost_agent_wakeup, GHOST_MAX_WINFO> wakeups = {};
  const auto count = static_cast<size_t>(config.ninfo);
  if (count > 0 && !caller.ReadMemory(config.w, std::as_writable_bytes(std::span(wakeups).first(count)))) {
    return -EFAULT;
  }
  for (size_t i = 0; i < count; ++i) {
    if (wakeups[i].prio != 0 || !state_.OnlineCpu(wakeups[i].cpu)) return -EINVAL;
  }
  queue->num_wakeup_cpus = config.ninfo;
  for (size_t i = 0; i < count; ++i) queue->wakeup_cpus[i] = wakeups[i].cpu;
  // There may be messages in it already.
  if (count > 0) kernel_.scheduler.WakeAgent(wakeups[count - 1].cpu);
  return 0;
}

void Queues::DropAbandoned(Enclave& enclave) {
  absl::flat_hash_map<Tid, bool> lives;  // asked once for each process, which may have made thousands
  for (size_t i = enclave.queues.size(); i-- > 0;) {
    Queue& queue = *enclave.queues[i];
    if (queue.references > 0) continue;
    auto [creator, fresh] = lives.try_emplace(queue.creator);
    if (fresh) creator->second = state_.driver->RuntimeNsOfTid(queue.creator).has_value();
    if (creator->second) continue;
    Drop(queue);
    enclave.queues.erase(enclave.queues.begin() + static_cast<ptrdiff_t>(i));
  }
}

void Queues::DropAll(Enclave& enclave) {
  for (Queue* queue : enclave.queues) Drop(*queue);
  enclave.queues.clear();
}

void Queues::Drop(Queue& queue) {
  if (queue.enclave->default_queue == &queue) queue.enclave->default_queue = nullptr;
  kernel_.tree.Remove(queue.node);
  queue.enclave = nullptr;
  state_.ReleaseQueue(&queue);
}

}  // namespace ghost::usermode
