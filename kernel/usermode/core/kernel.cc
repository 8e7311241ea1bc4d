#include "kernel/usermode/core/kernel.h"

namespace ghost::usermode {

Kernel::Kernel(const CoreOptions& options, Driver* driver)
    : state(options, driver),
      messenger(*this),
      scheduler(*this),
      committer(*this),
      tasks(*this),
      agents(*this),
      queues(*this),
      enclaves(*this),
      ticker(*this),
      tree(*this),
      files(*this),
      ctl(*this),
      ioctls(*this) {
  files.AddRoot();
}

void Kernel::Finish() {
  scheduler.Settle();
  enclaves.FinishDestroys();
  scheduler.Settle();
  ticker.Arm();
  if (state.observer != nullptr) state.observer->AfterEntry(state);
}

}  // namespace ghost::usermode
