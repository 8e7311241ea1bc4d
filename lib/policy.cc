#include "lib/policy.h"

namespace ghost {

const char* EnqueueReasonName(EnqueueReason reason) {
  constexpr const char* kNames[] = {"new",     "woken",         "woken deferrable", "preempted",
                                    "yielded", "slice expired", "commit failed"};
  return kNames[static_cast<int>(reason)];
}

}  // namespace ghost
