// --slice, of agents whose threads take turns in BPF: biff's own, and flux's leaves of that name.
#ifndef GHOST_SCHEDULERS_BIFF_SLICE_FLAG_H_
#define GHOST_SCHEDULERS_BIFF_SLICE_FLAG_H_

#include "absl/flags/declare.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

ABSL_DECLARE_FLAG(absl::Duration, slice);

namespace ghost {

// INVALID_ARGUMENT, with a hint, if it is no time to run for.
absl::Status CheckSliceFlag();

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_BIFF_SLICE_FLAG_H_
