#include "kernel/usermode/core/kernel.h"

namespace ghost::usermode {

Kernel::Kernel(const CoreOptions& options, Driver* driver)
    : state(options, driver),
      programs(*this),
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
  do {
    scheduler.Settle();
  } while (programs.Repoll());
  programs.EndEntry();
  ticker.Arm();
  for (CoreObserver* observer : state.observers) observer->AfterEntry(state);
}

}  // namespace ghost::usermode
