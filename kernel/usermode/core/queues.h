// Message queues as objects: creation, the default queue, association, wake-up targets, end.
//
// What it is not: the ring (message_queue.h), and who sends into it (messenger.h). A ghost kernel's queue ends with its
// last descriptor; under FUSE nobody tells us of that, so a queue ends with its enclave, or once the process that made
// it is gone and nobody sends to it. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_QUEUES_H_
#define GHOST_KERNEL_USERMODE_CORE_QUEUES_H_

#include <cstdint>

#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

class Kernel;

// The ioctls 3 to 6; results as ioctl(2)'s, or -errno.
class Queues {
 public:
  explicit Queues(Kernel& kernel);

  // The new queue's id (> 0); fills create->mapsize.
  int Create(Enclave& enclave, Caller& caller, ghost_ioc_create_queue* create);
  int Associate(Caller& caller, const ghost_ioc_assoc_queue& assoc);
  int SetDefault(Enclave& enclave, Caller& caller, const ghost_ioc_set_default_queue& set);
  int ConfigureWakeup(Caller& caller, const ghost_ioc_config_queue_wakeup& config);

  // Ends those queues of the enclave that nobody can read any more and nobody sends to.
  void DropAbandoned(Enclave& enclave);
  // The enclave goes: all its queues lose their files, and end when nobody sends to them.
  void DropAll(Enclave& enclave);

 private:
  void Drop(Queue& queue);

  Kernel& kernel_;
  State& state_;
  int last_id_ = 0;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_QUEUES_H_
