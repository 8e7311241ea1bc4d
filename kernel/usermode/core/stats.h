// The text of ghostfs's `stats` file (dialect.h, item 5). Pure.
#ifndef GHOST_KERNEL_USERMODE_CORE_STATS_H_
#define GHOST_KERNEL_USERMODE_CORE_STATS_H_

#include <string>
#include <vector>

#include "kernel/usermode/core/state.h"

namespace ghost::usermode {

CpuStatus StatusOf(const Cpu& cpu);
// One JSON object, for people, too: one line a CPU and a counter group.
std::string StatsJson(const State& state);

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_STATS_H_
