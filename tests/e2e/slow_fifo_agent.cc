// slow_fifo_agent: fifo_centralized_agent whose every pass takes --pass longer, as one with more to think about. For
// tests of what CPUs do meanwhile.
#include "absl/flags/flag.h"
#include "absl/time/time.h"
#include "lib/base/time.h"
#include "lib/centralized_runtime.h"
#include "lib/program/centralized_main.h"
#include "schedulers/fifo/centralized/fifo_policy.h"

ABSL_FLAG(absl::Duration, pass, absl::Microseconds(100), "How long a pass takes at least.");

namespace ghost {
namespace {

class SlowFifoPolicy : public CentralizedFifoPolicy {
 public:
  SlowFifoPolicy(const PolicyConfig& config, const Options& options)
      : CentralizedFifoPolicy(config, options), pass_ns_(absl::ToInt64Nanoseconds(absl::GetFlag(FLAGS_pass))) {}
  void Schedule(Plan<Task>& plan) {
    const Time start = Time::Now();
    while (Time::NanosecondsBetween(start, Time::Now()) < pass_ns_) continue;
    CentralizedFifoPolicy::Schedule(plan);
  }

 private:
  const int64_t pass_ns_;
};

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) {
  return ghost::CentralizedMain<ghost::SlowFifoPolicy>(
      {.name = "slow_fifo_agent", .summary = "a centralized FIFO that thinks for long", .examples = {}, .notes = {}},
      argc, argv);
}
