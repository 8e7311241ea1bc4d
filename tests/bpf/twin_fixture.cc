#include "tests/bpf/twin_fixture.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernel/abi/abi_version.h"

namespace ghost {

using usermode::BpfHelpers;
using usermode::BpfHook;
using usermode::BpfProgram;
using usermode::TestAgent;

class SchedulerTwinTest::Both final : public BpfProgram {
 public:
  Both(std::unique_ptr<BpfProgram> program, std::unique_ptr<BpfProgram> twin, SchedulerTwinTest* test)
      : program_(std::move(program)), twin_(std::move(twin)), test_(*test) {}
  usermode::BpfView* view() override { return program_->view(); }

  bool Run(BpfHook hook, std::span<std::byte> context, int cpu, BpfHelpers& helpers, int32_t* result) override {
    const uint64_t run = ++test_.runs_;
    if (test_.before_run_) test_.before_run_();
    std::vector<std::byte> copy(context.begin(), context.end());
    Recorder asked(nullptr);
    int32_t answer = 0;
    EXPECT_TRUE(program_->Run(hook, copy, cpu, asked, &answer));
    Recorder done(&helpers);
    EXPECT_TRUE(twin_->Run(hook, context, cpu, done, result));
    const std::string where = absl::StrCat("hook ", static_cast<int>(hook), " cpu ", cpu, " run ", run);
    EXPECT_EQ(answer, *result) << where;
    EXPECT_TRUE(std::equal(copy.begin(), copy.end(), context.begin())) << where;
    EXPECT_EQ(absl::StrJoin(asked.calls, ", "), absl::StrJoin(done.calls, ", ")) << where;
    return true;
  }

 private:
  const std::unique_ptr<BpfProgram> program_, twin_;
  SchedulerTwinTest& test_;
};

void SchedulerTwinTest::Load(const std::string& name, std::span<const BpfObjectFile> objects) {
  name_ = name;
  auto loaded = BpfPrograms::LoadFor(/*user_mode=*/true, name, objects, "/nowhere", *FindAbi(91));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  programs_ = *std::move(loaded);
}

void SchedulerTwinTest::Start(const std::function<std::unique_ptr<BpfProgram>()>& twin) {
  harness_->MakeEnclave(1, absl::StrCat("0-", cpus_ - 1));
  harness_->Write("enclave_1/deliver_ticks", "1");
  for (int cpu = 0; cpu < cpus_; ++cpu) {
    agents_.push_back(std::make_unique<TestAgent>(harness_.get(), 1, cpu, 10 + cpu, 91, 10));
  }
  Attach("_pnt", BpfHook::kPickNextTask, twin());
  Attach("_msg", BpfHook::kSendMessage, twin());
  Attach("_select_rq", BpfHook::kSelectRq, twin());
  for (auto& agent : agents_) agent->Yield();
}

void SchedulerTwinTest::Attach(const std::string& name, BpfHook hook, std::unique_ptr<BpfProgram> twin) {
  usermode::FakeCaller self(getpid(), getpid());
  const ghostd_ioc_bpf_attach attach = programs_->AttachRequest(programs_->ProgramFd((name_ + name).c_str()), 0);
  std::unique_ptr<BpfProgram> program;
  ASSERT_EQ(host_.Take(attach, self, &program), 0);
  ASSERT_EQ(harness_->core.AttachProgram(1, hook, std::make_unique<Both>(std::move(program), std::move(twin), this)),
            0);
}

// One of the tasks, or 0.
int64_t SchedulerTwinTest::AnyTask() {
  return tasks_.empty() ? 0 : tasks_[Random(static_cast<uint32_t>(tasks_.size()))];
}

void SchedulerTwinTest::TaskEvent() {
  usermode::Core& core = harness_->core;
  const int64_t gtid = AnyTask();
  if (gtid == 0) return;
  const bool runs = driver_->running.contains(gtid);
  const auto any_cpu = [&] { return static_cast<int>(Random(static_cast<uint32_t>(affinity_cpus_))); };
  switch (Random(8)) {
    case 0:
      driver_->affinities[gtid] = Random(3) == 0 ? CpuSet::FirstN(cpus_) : CpuSet({any_cpu(), any_cpu()});
      core.OnTaskAffinityChanged(gtid);
      break;
    case 1:
      core.OnTaskPriorityChanged(gtid, static_cast<int>(Random(40)) - 20);
      break;
    case 2:
      if (Random(6) == 0) Exit(gtid);
      break;
    default:
      if (!runs) {
        core.OnTaskReady(gtid, {.waker_cpu = AnyCpu()});  // if it was blocked
      } else {
        driver_->Forget(gtid);
        Random(3) == 0 ? core.OnTaskYielded(gtid) : core.OnTaskBlocked(gtid);
      }
  }
}

void SchedulerTwinTest::Exit(int64_t gtid) {
  driver_->Forget(gtid);
  std::erase(tasks_, gtid);
  harness_->core.OnTaskExited(gtid);
}

void SchedulerTwinTest::PassTime() {
  const uint32_t passed_ns = Random(3'000'000);
  driver_->now_ns += passed_ns;
  for (const auto& [gtid, cpu] : driver_->running)
    driver_->runtime_ns.try_emplace(gtid, 1000).first->second += passed_ns;
}

void SchedulerTwinTest::Step() {
  usermode::Core& core = harness_->core;
  PassTime();
  if (Random(4) != 0) driver_->GatePreempted(&core);  // else they take their time
  switch (Random(10)) {
    case 0:
      if (tasks_.size() < 30 + 2 * static_cast<size_t>(cpus_ - kCpus))
        tasks_.push_back(harness_->Enter(1, next_tid_++));
      break;
    case 1:
      core.OnOtherClass(AnyCpu(), Random(3) == 0);
      break;
    case 2:
      if (!driver_->timers.empty()) {
        const uint64_t timer = driver_->timers.begin()->first;
        driver_->timers.erase(timer);
        core.OnTimer(timer);
      }
      break;
    case 3: {
      const auto cpu = AnyCpu();
      if (agents_[static_cast<size_t>(cpu)]->parked()) agents_[0]->Ping(cpu);
      break;
    }
    default:
      TaskEvent();
  }
  for (auto& agent : agents_) {
    if (!agent->parked() && Random(2) == 0) agent->Yield();
  }
  core.CheckInvariants();
}

}  // namespace ghost
