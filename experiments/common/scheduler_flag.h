// Scheduler: who schedules an experiment's threads, as a flag's type.
//
//     ABSL_FLAG(ghost::Scheduler, scheduler, ghost::Scheduler::kCfs, "Who schedules the threads: cfs or ghost.");
//
// Any other value is a usage error of the command line, with its words.
#ifndef GHOST_EXPERIMENTS_COMMON_SCHEDULER_FLAG_H_
#define GHOST_EXPERIMENTS_COMMON_SCHEDULER_FLAG_H_

#include <string>

#include "absl/strings/string_view.h"

namespace ghost {

enum class Scheduler { kCfs, kGhost };

bool AbslParseFlag(absl::string_view text, Scheduler* scheduler, std::string* error);
std::string AbslUnparseFlag(Scheduler scheduler);

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_COMMON_SCHEDULER_FLAG_H_
