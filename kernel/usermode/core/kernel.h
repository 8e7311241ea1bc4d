// The parts of the user-mode kernel, put together. Each part holds a reference to this and to the State.
//
// What it is not: an interface; that is core.h. One thread.
#ifndef GHOST_KERNEL_USERMODE_CORE_KERNEL_H_
#define GHOST_KERNEL_USERMODE_CORE_KERNEL_H_

#include "kernel/usermode/core/agents.h"
#include "kernel/usermode/core/committer.h"
#include "kernel/usermode/core/enclave_ctl.h"
#include "kernel/usermode/core/enclaves.h"
#include "kernel/usermode/core/ghostfs_files.h"
#include "kernel/usermode/core/ghostfs_tree.h"
#include "kernel/usermode/core/ioctls.h"
#include "kernel/usermode/core/messenger.h"
#include "kernel/usermode/core/programs.h"
#include "kernel/usermode/core/queues.h"
#include "kernel/usermode/core/scheduler.h"
#include "kernel/usermode/core/state.h"
#include "kernel/usermode/core/tasks.h"
#include "kernel/usermode/core/ticker.h"

namespace ghost::usermode {

class Kernel {
 public:
  Kernel(const CoreOptions& options, Driver* driver);
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  // The end of every entry into the core: carries out what it has caused.
  void Finish();

  State state;
  Programs programs;
  Messenger messenger;
  Scheduler scheduler;
  Committer committer;
  Tasks tasks;
  Agents agents;
  Queues queues;
  Enclaves enclaves;
  Ticker ticker;
  GhostfsTree tree;
  GhostfsFiles files;
  EnclaveCtl ctl;
  Ioctls ioctls;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_KERNEL_H_
