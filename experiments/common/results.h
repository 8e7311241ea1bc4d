// Statistics of stages (or of anything else that takes time and has a name), as a table for people, as CSV rows and as
// JSON: total, throughput, min, 50, 99, 99.5, 99.9 %, max.
//
//     Table table(StageColumns(/*ns=*/false));
//     table.AddRow(StageRow({.name = "Total", .latencies = &latencies}, seconds, /*ns=*/false));
//     json["total"] = StageJson(latencies, seconds);
//
// `seconds` is the time in which they were measured; throughput is per second of it. Pure: no I/O, any thread.
#ifndef GHOST_EXPERIMENTS_COMMON_RESULTS_H_
#define GHOST_EXPERIMENTS_COMMON_RESULTS_H_

#include <string>
#include <vector>

#include "experiments/common/latencies.h"
#include "nlohmann/json.hpp"

namespace ghost {

struct Stage {
  std::string name;
  const Latencies* latencies;
};

// "Stage", "Total Requests", "Throughput (req/s)", "Min (us)", …; with `ns` times are in ns, else in us.
std::vector<std::string> StageColumns(bool ns);
// The cells below them. Times in us have three decimals, so that nothing is lost.
std::vector<std::string> StageRow(const Stage& stage, double seconds, bool ns);

// {"total": n, "throughput": per second, "min_ns": …, "mean_ns": …, "p50_ns": …, "p99_ns": …, "p99_5_ns": …,
//  "p99_9_ns": …, "max_ns": …}
nlohmann::ordered_json StageJson(const Latencies& latencies, double seconds);

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_COMMON_RESULTS_H_
