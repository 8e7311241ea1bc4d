// What the programs of schedulers in BPF cost under ghostd, by the number of tasks that wait: a pick, and a message, as
// ghostd runs them (its own work around a run is in it). `pnt_ns` and `msg_ns` are what the kernel counts for a run of
// the program alone.
//
//     bazel run -c opt //tests/bpf:scheduler_benchmark        # as root
#include <bpf/bpf.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "kernel/abi/abi_version.h"
#include "kernel/ghost_uapi.h"
#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/core_harness.h"
#include "kernel/usermode/linux/bpf_host.h"
#include "lib/base/file.h"
#include "lib/base/logging.h"
#include "lib/bpf/programs.h"
#include "schedulers/cfs/nice_weight.h"
#include "schedulers/flux/flux_tree.h"
#include "third_party/bpf/biff.h"
#include "third_party/bpf/biff_objects.h"
#include "third_party/bpf/cfs_bpf.h"
#include "third_party/bpf/cfs_bpf_objects.h"
#include "third_party/bpf/flux.h"
#include "third_party/bpf/flux_objects.h"

namespace ghost {
namespace {

using usermode::BpfHook;
using usermode::BpfProgram;
using usermode::BpfView;

class NoHelpers final : public usermode::BpfHelpers {
 public:
  int WakeAgent(int) override { return 0; }
  int RunGtid(int64_t gtid, uint32_t, int32_t) override {
    last_gtid = gtid;
    return 0;
  }
  int ReschedCpu(int, uint32_t) override { return 0; }
  void NoteFailure() override {}
  int64_t last_gtid = 0;
};

struct Biff {
  static constexpr const char* kName = "biff";
  static std::span<const BpfObjectFile> Objects() { return BiffObjects(); }
  static void Configure(BpfPrograms* programs) {
    auto* state = programs->Global<biff>();
    state->cpu_mask[0] = 1;
    state->initialized = 1;
  }
};

struct CfsBpf {
  static constexpr const char* kName = "cfs_bpf";
  static std::span<const BpfObjectFile> Objects() { return CfsBpfObjects(); }
  static void Configure(BpfPrograms* programs) {
    auto* state = programs->Global<cfs_bpf>();
    state->latency_ns = state->balance_ns = 10'000'000;
    state->min_granularity_ns = state->wakeup_granularity_ns = 1'000'000;
    state->idle_balancing = 1;
    for (size_t i = 0; i < kNiceWeights.size(); ++i) state->weights[i] = static_cast<uint32_t>(kNiceWeights[i]);
    state->cpu_mask[0] = 1;
    state->initialized = 1;
  }
};

// Half of the tasks, those with a negative nice value, are the first leaf's.
struct Flux {
  static constexpr const char* kName = "flux";
  static std::span<const BpfObjectFile> Objects() { return FluxObjects(); }
  static void Configure(BpfPrograms* programs) {
    auto* state = programs->Global<flux>();
    state->slice_ns = 1'000'000'000;
    FluxTree::Parse("roci(prov:1(biff, biff), idle)")->Store(state);
    state->cpu_mask[0] = 1;
    state->initialized = 1;
  }
};

// What the kernel has counted of a program's runs.
struct Runs {
  uint64_t count = 0;
  uint64_t ns = 0;
};
Runs RunsOf(int program) {
  bpf_prog_info info = {};
  uint32_t length = sizeof(info);
  GHOST_CHECK(bpf_obj_get_info_by_fd(program, &info, &length) == 0);
  return {.count = info.run_cnt, .ns = info.run_time_ns};
}

// One CPU, and tasks of all nice values that wait for it. They run for 0 to 4 ms at a time.
template <typename Scheduler>
class Bench {
 public:
  explicit Bench(int tasks) : runtimes_ns_(static_cast<size_t>(tasks), 0) {
    auto loaded =
        BpfPrograms::LoadFor(/*user_mode=*/true, Scheduler::kName, Scheduler::Objects(), "/nowhere", *FindAbi(91));
    GHOST_CHECK(loaded.ok()) << loaded.status();
    programs_ = *std::move(loaded);
    pick_ = Take("_pnt");
    message_ = Take("_msg");
    Scheduler::Configure(programs_.get());
    BpfView* view = pick_->view();
    view->CpuChanged({.cpu = 0, .online = true, .in_enclave = true, .has_agent = true});
    for (int i = 0; i < tasks; ++i) {
      const int64_t gtid = (int64_t{i} + 1) << 41 | (i + 1);
      view->TaskChanged({.gtid = gtid, .barrier = 1, .runnable = true});
      bpf_ghost_msg message = {};
      message.type = MSG_TASK_NEW;
      message.seqnum = 1;
      message.newt.gtid = static_cast<uint64_t>(gtid);
      message.newt.runnable = 1;
      message.newt.nice = i % 40 - 20;
      message.newt.sw_info.index = static_cast<uint32_t>(i);
      Send(&message);
    }
  }

  // The gtid of the task that is to run.
  int64_t Pick() {
    bpf_ghost_sched context = {};
    context.agent_on_rq = 1;
    helpers_.last_gtid = 0;
    int32_t result = 0;
    const bool ran =
        pick_->Run(BpfHook::kPickNextTask, std::as_writable_bytes(std::span(&context, 1)), 0, helpers_, &result);
    GHOST_CHECK(ran && helpers_.last_gtid != 0);
    return helpers_.last_gtid;
  }
  void Preempted(int64_t gtid) {
    uint64_t& runtime_ns = runtimes_ns_[static_cast<size_t>(gtid >> 41) - 1];
    runtime_ns += random_() % 4'000'000;
    bpf_ghost_msg message = {};
    message.type = MSG_TASK_PREEMPT;
    message.seqnum = 1;
    message.preempt.gtid = static_cast<uint64_t>(gtid);
    message.preempt.runtime = runtime_ns;
    Send(&message);
  }

  int Fd(const std::string& program) { return programs_->ProgramFd((Scheduler::kName + program).c_str()); }

 private:
  std::unique_ptr<BpfProgram> Take(const char* name) {
    usermode::FakeCaller self(getpid(), getpid());
    std::unique_ptr<BpfProgram> program;
    const int error = host_.Take(programs_->AttachRequest(Fd(name), 0), self, &program);
    GHOST_CHECK(error == 0) << error;
    return program;
  }
  void Send(bpf_ghost_msg* message) {
    int32_t result = 0;
    GHOST_CHECK(
        message_->Run(BpfHook::kSendMessage, std::as_writable_bytes(std::span(message, 1)), 0, helpers_, &result));
  }

  usermode::BpfHost host_{1, [](const std::string&) {}};
  std::unique_ptr<BpfPrograms> programs_;
  std::unique_ptr<BpfProgram> pick_, message_;
  NoHelpers helpers_;
  std::vector<uint64_t> runtimes_ns_;
  std::mt19937 random_{1};
};

// A pick and the TASK_PREEMPT that puts the task back.
template <typename Scheduler>
void BM_PickAndPutBack(benchmark::State& state) {
  Bench<Scheduler> bench(static_cast<int>(state.range(0)));
  for (auto _ : state) bench.Preempted(bench.Pick());

  // Once more, with the kernel's own clock: reading that costs something, too.
  const ScopedFd stats(bpf_enable_stats(BPF_STATS_RUN_TIME));
  GHOST_CHECK(stats.valid());
  for (const auto& [program, counter] : {std::pair("_pnt", "pnt_ns"), std::pair("_msg", "msg_ns")}) {
    const Runs before = RunsOf(bench.Fd(program));
    for (int i = 0; i < 100'000; ++i) bench.Preempted(bench.Pick());
    const Runs after = RunsOf(bench.Fd(program));
    state.counters[counter] =
        static_cast<double>(after.ns - before.ns) / static_cast<double>(after.count - before.count);
  }
}
BENCHMARK_TEMPLATE(BM_PickAndPutBack, Biff)->Arg(10)->Arg(1000)->Arg(60'000);
BENCHMARK_TEMPLATE(BM_PickAndPutBack, CfsBpf)->Arg(10)->Arg(1000)->Arg(60'000);
BENCHMARK_TEMPLATE(BM_PickAndPutBack, Flux)->Arg(10)->Arg(1000)->Arg(60'000);

// The message alone. (biff's task stays where it is; cfs_bpf's leaves the queue and joins it again.)
template <typename Scheduler>
void BM_Message(benchmark::State& state) {
  Bench<Scheduler> bench(static_cast<int>(state.range(0)));
  const int64_t gtid = bench.Pick();
  for (auto _ : state) bench.Preempted(gtid);
}
BENCHMARK_TEMPLATE(BM_Message, Biff)->Arg(10)->Arg(60'000);
BENCHMARK_TEMPLATE(BM_Message, CfsBpf)->Arg(10)->Arg(60'000);

}  // namespace
}  // namespace ghost
