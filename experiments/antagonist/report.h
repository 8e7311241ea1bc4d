// What the antagonist says in the end: how much CPU time each worker got, and all of them.
//
// Pure. Any thread.
#ifndef GHOST_EXPERIMENTS_ANTAGONIST_REPORT_H_
#define GHOST_EXPERIMENTS_ANTAGONIST_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

namespace ghost {

struct AntagonistReport {
  std::string scheduler;  // "cfs" or "ghost"
  double work_share = 1;  // what each worker was to use
  int64_t duration_ns = 0;
  std::vector<int64_t> run_duration_ns;  // CPU time that each worker got in it

  // The share of the duration that a worker had a CPU.
  double ShareOf(int64_t run_ns) const;
  int64_t TotalNs() const;
  // … on average over all workers: 1 if each had a CPU all the time.
  double TotalShare() const;

  std::string Pretty() const;  // a table
  std::string Csv() const;     // worker,run_duration_ns,work_share: a line for each, then total
  std::string Json() const;    // one object in one line
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ANTAGONIST_REPORT_H_
