// SoakBudget: how much of its time a worker of the antagonist may compute, and when it sleeps.
//
// Time is cut into periods. In each the worker may use work_share * period of CPU time, and sleeps once it has. What it
// could not use it may use later, up to kCarry periods' worth of it: so a timer that is late costs nothing, and a
// worker that others kept from the CPU for long does not take its revenge. CPU time is what counts, not time: a worker
// that waits for a CPU uses nothing up.
//
//     SoakBudget budget({.work_share = 0.5, .period_ns = 100'000}, now_ns, cpu_ns);
//     for (;;) {
//       const SoakBudget::Step step = budget.Next(now_ns, cpu_ns);
//       step.compute_ns > 0 ? Compute(step.compute_ns) : SleepUntil(step.sleep_until_ns);
//     }
//
// Pure: it is told both clocks, in ns. Threads: one.
#ifndef GHOST_EXPERIMENTS_ANTAGONIST_SOAK_BUDGET_H_
#define GHOST_EXPERIMENTS_ANTAGONIST_SOAK_BUDGET_H_

#include <algorithm>
#include <cstdint>

namespace ghost {

class SoakBudget {
 public:
  static constexpr int64_t kCarry = 10;
  // It sleeps for at most so many periods at a time.
  static constexpr int64_t kLongestSleep = 100;

  struct Options {
    double work_share = 1.0;  // 0..1
    int64_t period_ns = 100'000;
  };
  // One of the two is not 0.
  struct Step {
    int64_t compute_ns = 0;      // compute for so long; at most a period, then ask again
    int64_t sleep_until_ns = 0;  // by the clock of now_ns
  };

  // `now_ns`: the time; `cpu_ns`: what the worker has used of CPU time so far. Neither ever goes back.
  SoakBudget(const Options& options, int64_t now_ns, int64_t cpu_ns)
      : period_ns_(options.period_ns),
        share_ns_(static_cast<int64_t>(options.work_share * static_cast<double>(options.period_ns))),
        period_end_ns_(now_ns + period_ns_),
        may_use_ns_(cpu_ns + share_ns_) {}

  Step Next(int64_t now_ns, int64_t cpu_ns) {
    if (now_ns >= period_end_ns_) {
      const int64_t periods = (now_ns - period_end_ns_) / period_ns_ + 1;
      period_end_ns_ += periods * period_ns_;
      may_use_ns_ = std::min(may_use_ns_ + periods * share_ns_, cpu_ns + (1 + kCarry) * share_ns_);
    }
    if (share_ns_ >= period_ns_) return {.compute_ns = period_ns_};
    const int64_t left_ns = may_use_ns_ - cpu_ns;
    if (left_ns > 0) return {.compute_ns = std::min(left_ns, period_ns_)};
    const int64_t paid_off = share_ns_ == 0 ? kLongestSleep : std::min(-left_ns / share_ns_, kLongestSleep - 1);
    return {.sleep_until_ns = period_end_ns_ + paid_off * period_ns_};
  }

 private:
  const int64_t period_ns_;
  const int64_t share_ns_;  // of each period
  int64_t period_end_ns_;
  int64_t may_use_ns_;  // until its CPU time is this
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ANTAGONIST_SOAK_BUDGET_H_
