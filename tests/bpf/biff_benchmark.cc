// What biff's programs cost under ghostd, by the number of tasks that wait: a pick, and a message, as ghostd runs them
// (its own work around a run is in it).
//
//     bazel run -c opt //tests/bpf:biff_benchmark        # as root
#include <unistd.h>

#include <cstring>
#include <memory>
#include <span>

#include "benchmark/benchmark.h"
#include "kernel/abi/abi_version.h"
#include "kernel/ghost_uapi.h"
#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/core_harness.h"
#include "kernel/usermode/linux/bpf_host.h"
#include "lib/base/logging.h"
#include "lib/bpf/programs.h"
#include "third_party/bpf/biff.h"
#include "third_party/bpf/biff_objects.h"

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

class Biff {
 public:
  explicit Biff(int tasks) {
    auto loaded = BpfPrograms::LoadFor(/*user_mode=*/true, "biff", BiffObjects(), "/nowhere", *FindAbi(91));
    GHOST_CHECK(loaded.ok()) << loaded.status();
    programs_ = *std::move(loaded);
    pick_ = Take("biff_pnt");
    message_ = Take("biff_msg");
    auto* state = programs_->Global<biff>();
    state->initialized = 1;
    state->cpu_mask[0] = 1;
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
    bpf_ghost_msg message = {};
    message.type = MSG_TASK_PREEMPT;
    message.seqnum = 1;
    message.preempt.gtid = static_cast<uint64_t>(gtid);
    Send(&message);
  }

 private:
  std::unique_ptr<BpfProgram> Take(const char* name) {
    usermode::FakeCaller self(getpid(), getpid());
    std::unique_ptr<BpfProgram> program;
    const int error = host_.Take(programs_->AttachRequest(programs_->ProgramFd(name), 0), self, &program);
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
};

// A pick and the TASK_PREEMPT that puts the task back.
void BM_PickAndPutBack(benchmark::State& state) {
  Biff biff(static_cast<int>(state.range(0)));
  for (auto _ : state) biff.Preempted(biff.Pick());
}
BENCHMARK(BM_PickAndPutBack)->Arg(10)->Arg(1000)->Arg(60'000);

// A message of a task that changes nothing but its barrier: half of the above is a run like this.
void BM_Message(benchmark::State& state) {
  Biff biff(static_cast<int>(state.range(0)));
  const int64_t gtid = biff.Pick();
  for (auto _ : state) biff.Preempted(gtid);
}
BENCHMARK(BM_Message)->Arg(10)->Arg(60'000);

}  // namespace
}  // namespace ghost
