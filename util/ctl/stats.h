// What ghostd's `stats` file says, for people.
//
// The file is JSON that only ghostd knows the meaning of: it is shown as it is, whatever it holds. Fields whose name
// ends in _ns are times and shown in a unit that fits.
#ifndef GHOST_UTIL_CTL_STATS_H_
#define GHOST_UTIL_CTL_STATS_H_

#include <string>

#include "absl/status/statusor.h"
#include "lib/kernel.h"
#include "nlohmann/json.hpp"

namespace ghost::ctl {

// NotFound with a hint for a kernel that has no such file: a real ghost kernel.
absl::StatusOr<nlohmann::ordered_json> ReadKernelStats(const Kernel& kernel);

// Lines "name  value"; an array of objects becomes a table with a column per field, and lines for fields that are
// objects.
std::string StatsToText(const nlohmann::ordered_json& stats);

}  // namespace ghost::ctl

#endif  // GHOST_UTIL_CTL_STATS_H_
