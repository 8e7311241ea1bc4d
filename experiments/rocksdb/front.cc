#include "experiments/rocksdb/front.h"

#include <sys/prctl.h>

#include <algorithm>

#include "lib/base/spin.h"

namespace ghost {
namespace {

// How long a worker needs, from its empty mailbox to its being idle, unless it loses its CPU in between.
constexpr absl::Duration kFinishing = absl::Microseconds(20);

}  // namespace

bool Front::Step(Time now, Time* until) {
  bool busy = false;
  *until = Time::Infinite();
  if (options_.generate != nullptr) {
    busy = options_.generate->Notice(now);
    if (busy && options_.ring != nullptr) options_.ring->Ring();
    *until = options_.generate->NextArrival();
  }
  if (options_.assign.has_value()) {
    const Assigner::Result result = options_.assign->AssignOne(now);
    busy |= result == Assigner::Result::kAssigned;
    if (result == Assigner::Result::kWorkerFinishing) *until = std::min(*until, now + kFinishing);
  }
  return busy;
}

void Front::Run() {
  // Timers of this thread are to be in time: by default Linux may be 50 us late.
  prctl(PR_SET_TIMERSLACK, 1);
  bool prepared = false;
  while (!Stopped()) {
    Time until;
    const bool busy = Step(Time::Now(), &until);
    if (!options_.sleep) {
      if (!busy) Pause();
    } else if (busy) {
      if (prepared) options_.bell->Cancel();
      prepared = false;
    } else if (!prepared) {
      options_.bell->Prepare();
      prepared = true;  // and look once more
    } else {
      options_.bell->Sleep(until);
      prepared = false;
    }
  }
  const Time end = Time::Now();
  while (options_.generate != nullptr && options_.generate->Notice(end)) continue;
}

}  // namespace ghost
