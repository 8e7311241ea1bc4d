// The antagonist's threads: each computes for its share of the time, under CFS on a CPU of its own or under a ghost
// agent, which is told of them in a PrioTable.
//
//     AntagonistWorkers workers(options);
//     GHOST_RETURN_IF_ERROR(workers.Start());
//     const std::vector<int64_t> before = workers.CpuTimes();
//     …
//     GHOST_RETURN_IF_ERROR(workers.Stop());
//
// Threads: one holds it.
#ifndef GHOST_EXPERIMENTS_ANTAGONIST_WORKERS_H_
#define GHOST_EXPERIMENTS_ANTAGONIST_WORKERS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/ghost_thread.h"
#include "shared/prio_table_helper.h"

namespace ghost {

class AntagonistWorkers {
 public:
  struct Options {
    int count = 1;
    double work_share = 1;
    std::vector<int> cpus = {};  // cfs: worker i has cpus[i % size] to itself
    std::string enclave = "";    // ghost: its directory; empty: cfs
    uint32_t ghost_qos = 2;
  };
  explicit AntagonistWorkers(const Options& options) : options_(options) {}
  AntagonistWorkers(const AntagonistWorkers&) = delete;

  // They have started; in ghost it is their agent's business when they run. After an error Stop() is due, too.
  absl::Status Start();
  // CPU time that each has used so far, in ns, whether it runs at the moment or has never run.
  std::vector<int64_t> CpuTimes() const;
  // Ends them, those too that their agent lets starve. DeadlineExceeded: some do not end, and the process can only be
  // left with _exit. FailedPrecondition: the enclave went away meanwhile, so they were CFS's at some time.
  absl::Status Stop();

 private:
  absl::Status StartOne(int index);
  void Work();
  bool ghost() const { return !options_.enclave.empty(); }

  const Options options_;
  std::atomic<bool> stop_{false};
  std::atomic<int> ended_{0};
  std::unique_ptr<PrioTableHelper> hints_;  // ghost
  std::vector<std::unique_ptr<GhostThread>> threads_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ANTAGONIST_WORKERS_H_
