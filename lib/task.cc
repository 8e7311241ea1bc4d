#include "lib/task.h"

namespace ghost {

const char* TaskStateName(TaskState state) {
  constexpr const char* kNames[kNumTaskStates] = {"new", "blocked", "runnable", "queued", "on cpu", "gone"};
  return kNames[static_cast<int>(state)];
}

}  // namespace ghost
