// The flags of agent_cfs as the options of its policy.
#ifndef GHOST_SCHEDULERS_CFS_CFS_OPTIONS_H_
#define GHOST_SCHEDULERS_CFS_CFS_OPTIONS_H_

#include "absl/status/statusor.h"
#include "schedulers/cfs/cfs_policy.h"

namespace ghost {

// InvalidArgument names the flag that is out of range, or the two that contradict each other, with a hint.
absl::Status CheckCfsOptions(const CfsPolicy::Options& options);
// From flags; call it once they are parsed.
absl::StatusOr<CfsPolicy::Options> CfsOptionsFromFlags();

}  // namespace ghost

#endif  // GHOST_SCHEDULERS_CFS_CFS_OPTIONS_H_
