// A scheduler that nobody would want: it takes every task off its CPU every 50 us, and runs them round-robin. Made to
// exercise the gate (see witness_client.cc).
//
// It is an ordinary per-CPU agent program plus a metronome: a thread that pings all agents at each period. A woken
// agent preempts the task on its CPU.
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "boost/intrusive/list.hpp"
#include "lib/enclave.h"
#include "lib/per_cpu_runtime.h"
#include "lib/policy.h"
#include "lib/program/agent_main.h"
#include "lib/runtime.h"
#include "lib/tunable.h"

ABSL_FLAG(int32_t, period_us, 50, "how long a task keeps its CPU");

namespace ghost::e2e {
namespace {

// Everybody queues at the back.
class RoundRobinPolicy {
 public:
  struct Task : TaskBase {
    boost::intrusive::list_member_hook<> link;
  };

  explicit RoundRobinPolicy(const PolicyConfig& config) : queues_(config.cpus.Last() + 1) {}

  int PlaceTask(const Task&, const CpuLoads& loads) {
    int best = loads.allowed().First();
    for (int cpu : loads.allowed()) {
      if (loads[cpu].tasks < loads[best].tasks) best = cpu;
    }
    return best;
  }
  void Enqueue(int cpu, Task* task, EnqueueReason, Time) { queues_[cpu].push_back(*task); }
  void Dequeue(int cpu, Task* task) { queues_[cpu].erase(queues_[cpu].iterator_to(*task)); }
  Pick<Task> PickNext(int cpu, Time) {
    if (queues_[cpu].empty()) return {};
    Task* task = &queues_[cpu].front();
    queues_[cpu].pop_front();
    return {.task = task};
  }

 private:
  using Hook = boost::intrusive::member_hook<Task, boost::intrusive::list_member_hook<>, &Task::link>;
  std::vector<boost::intrusive::list<Task, Hook, boost::intrusive::constant_time_size<false>>> queues_;
};

class PreemptingRuntime : public Runtime {
 public:
  PreemptingRuntime(Enclave* enclave, RuntimeOptions options)
      : enclave_(enclave),
        period_("period", "how long a task keeps its CPU", Tunable::Unit::kNanoseconds,
                absl::GetFlag(FLAGS_period_us) * int64_t{1000}, 1'000, 999'999'999),
        runtime_(enclave, std::move(options)) {}
  ~PreemptingRuntime() override { Stop(); }

  absl::Status Start() override {
    absl::Status status = runtime_.Start();
    if (status.ok()) metronome_ = std::thread([this] { Beat(); });
    return status;
  }
  void Stop() override {
    stop_ = true;
    if (metronome_.joinable()) metronome_.join();
    runtime_.Stop();
  }
  const CpuSet& cpus() const override { return runtime_.cpus(); }
  RuntimeCounters Counters(int cpu) const override { return runtime_.Counters(cpu); }
  int64_t CountTasks() const override { return runtime_.CountTasks(); }
  std::string DumpState(absl::Duration timeout) override { return runtime_.DumpState(timeout); }
  std::vector<Tunable*> Tunables() override { return {&period_}; }

 private:
  void Beat() {
    // Above the agents, or it would wait for them; and woken when it asks to be, not 50 us later.
    const sched_param param = {.sched_priority = 55};
    if (sched_setscheduler(0, SCHED_FIFO, &param) != 0) fprintf(stderr, "preempting_agent: no real-time priority\n");
    prctl(PR_SET_TIMERSLACK, 1);
    while (!stop_.load()) {
      for (int cpu : cpus()) enclave_->run_request(cpu).Ping();
      const timespec period = {.tv_sec = 0, .tv_nsec = period_.Get()};
      nanosleep(&period, nullptr);
    }
  }

  Enclave* const enclave_;
  Tunable period_;
  PerCpuRuntime<RoundRobinPolicy> runtime_;
  std::atomic<bool> stop_{false};
  std::thread metronome_;
};

}  // namespace
}  // namespace ghost::e2e

int main(int argc, char** argv) {
  const ghost::MakeRuntime make_runtime = [](ghost::Enclave* enclave, ghost::RuntimeOptions options) {
    return std::make_unique<ghost::e2e::PreemptingRuntime>(enclave, std::move(options));
  };
  return ghost::RunAgentProgram({.info = {.name = "preempting_agent",
                                          .summary = "Preempts every task every 50 us; a test of the gate.",
                                          .examples = {"preempting_agent --ghost_cpus 0-1 --period_us 50"}},
                                 .make_runtime = make_runtime},
                                argc, argv);
}
