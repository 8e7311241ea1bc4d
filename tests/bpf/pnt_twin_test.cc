// The program of the PNT rings, run by the kernel as ghostd has it run, against its twin in C++: both over the same
// random rings and a core in the same state, at each pick. They must ask for the same, and leave the same rings.
#include "kernel/usermode/sim/pnt_twin.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "kernel/abi/abi_version.h"
#include "kernel/ghost_uapi_bpf.h"
#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/core/core_harness.h"
#include "kernel/usermode/linux/bpf_host.h"
#include "lib/bpf/programs.h"
#include "tests/bpf/twin_events.h"
#include "third_party/bpf/pnt_ring.h"
#include "third_party/bpf/pnt_ring_objects.h"

namespace ghost {
namespace {

using usermode::BpfHelpers;
using usermode::BpfHook;
using usermode::BpfProgram;
using usermode::Harness;
using usermode::TestAgent;

constexpr int kCpus = 4;
constexpr int kTasks = 24;
constexpr uint32_t kStatuses[] = {PNT_EMPTY, PNT_READY, PNT_READY, PNT_READY, PNT_CLAIMED, PNT_LATCHED, PNT_FAILED};

// Passes on what the program sees of tasks, and keeps their barriers.
class Barriers final : public usermode::BpfView {
 public:
  explicit Barriers(usermode::BpfView* next) : next_(*next) {}
  void TaskChanged(const Task& task) override {
    of[task.gtid] = task.barrier;
    next_.TaskChanged(task);
  }
  void TaskAffinity(int64_t gtid, const CpuSet& affinity) override { next_.TaskAffinity(gtid, affinity); }
  void TaskGone(int64_t gtid) override { next_.TaskGone(gtid); }
  void CpuChanged(const Cpu& cpu) override { next_.CpuChanged(cpu); }
  std::map<int64_t, uint32_t> of;  // by gtid

 private:
  usermode::BpfView& next_;
};

// Fills the program's rings, runs it, and its twin over a copy of what it found.
class Both final : public BpfProgram {
 public:
  Both(std::unique_ptr<BpfProgram> program, pnt* memory, uint64_t seed)
      : program_(std::move(program)), barriers_(program_->view()), memory_(*memory), random_(seed) {}
  usermode::BpfView* view() override { return &barriers_; }

  bool Run(BpfHook hook, std::span<std::byte> context, int cpu, BpfHelpers& helpers, int32_t* result) override {
    Fill();
    *copy_ = memory_;
    std::vector<std::byte> its(context.begin(), context.end());
    Recorder asked(nullptr);
    EXPECT_TRUE(program_->Run(hook, its, cpu, asked, result));
    EXPECT_EQ(*result, 0);
    Recorder done(&helpers);
    sim::PntTwin(copy_.get()).PickNextTask(*reinterpret_cast<const bpf_ghost_sched*>(context.data()), cpu, done);
    const std::string calls = absl::StrJoin(done.calls, ", ");
    EXPECT_EQ(absl::StrJoin(asked.calls, ", "), calls) << "run " << runs;
    EXPECT_EQ(std::memcmp(&memory_, copy_.get(), sizeof(pnt)), 0) << "run " << runs;
    EXPECT_TRUE(std::equal(its.begin(), its.end(), context.begin()));
    ++runs;
    latched += absl::StrContains(calls, "run");
    woke += absl::StrContains(calls, "wake");
    return true;
  }

  std::vector<int64_t> gtids;  // what slots hold
  uint64_t runs = 0, latched = 0, woke = 0;

 private:
  uint32_t Random(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }

  void Fill() {
    memory_.active = Random(16) != 0;
    memory_.agent_cpu = Random(kCpus);
    for (int cpu = 0; cpu < kCpus; ++cpu) memory_.cpus[cpu].ring = Random(3);
    const uint32_t full = Random(4) == 0 ? PNT_SLOTS : 4;
    for (uint32_t ring = 0; ring < 2; ++ring) {
      for (uint32_t number = 0; number < PNT_SLOTS; ++number) {
        pnt_slot& slot = memory_.rings[ring].slots[number];
        const uint32_t status = number < full ? kStatuses[Random(std::size(kStatuses))] : uint32_t{PNT_EMPTY};
        // Orders that wrap, and some that are equal.
        slot.word = PNT_WORD(status, Random(kCpus), 0xfffffff0u + Random(32));
        slot.gtid = gtids.empty() ? 0 : gtids[Random(static_cast<uint32_t>(gtids.size()))];
        slot.barrier = barriers_.of[slot.gtid] + (Random(3) == 0 ? 1 : 0);
        slot.cpus[0] = Random(1 << kCpus);
      }
    }
  }

  const std::unique_ptr<BpfProgram> program_;
  Barriers barriers_;
  pnt& memory_;
  const std::unique_ptr<pnt> copy_ = std::make_unique<pnt>();
  std::mt19937_64 random_;
};

class PntTwinTest : public testing::TestWithParam<int> {};

TEST_P(PntTwinTest, ProgramAndTwinAreTheSame) {
  auto programs = BpfPrograms::LoadFor(/*user_mode=*/true, "--pnt", PntRingObjects(), "/nowhere", *FindAbi(91));
  ASSERT_TRUE(programs.ok()) << programs.status();
  pnt* memory = (*programs)->Global<pnt>();
  ASSERT_NE(memory, nullptr);
  usermode::BpfHost host(kCpus, [](const std::string& line) { ADD_FAILURE() << line; });
  auto* driver = new TaskDriver(kCpus);
  Harness harness(Harness::Defaults(), std::unique_ptr<usermode::FakeDriver>(driver));
  harness.MakeEnclave(1, "0-3");
  std::vector<std::unique_ptr<TestAgent>> agents;
  for (int cpu = 0; cpu < kCpus; ++cpu) {
    agents.push_back(std::make_unique<TestAgent>(&harness, 1, cpu, 10 + cpu, 91, 10));
  }
  usermode::FakeCaller self(getpid(), getpid());
  std::unique_ptr<BpfProgram> program;
  ASSERT_EQ(host.Take((*programs)->AttachRequest((*programs)->ProgramFd("pnt_pick"), 0), self, &program), 0);
  auto owned = std::make_unique<Both>(std::move(program), memory, static_cast<uint64_t>(GetParam()));
  Both& both = *owned;
  ASSERT_EQ(harness.core.AttachProgram(1, BpfHook::kPickNextTask, std::move(owned)), 0);

  std::mt19937_64 random(static_cast<uint64_t>(GetParam()));
  for (int i = 0; i < kTasks; ++i) both.gtids.push_back(harness.Enter(1, 100 + i));
  for (int step = 0; step < 3000 && !HasFailure(); ++step) {
    driver->GatePreempted(&harness.core);
    const int64_t gtid = both.gtids[random() % both.gtids.size()];
    if (!driver->running.contains(gtid)) {
      harness.core.OnTaskReady(gtid, {.waker_cpu = 0});  // if it was blocked
    } else {
      driver->Forget(gtid);
      random() % 2 == 0 ? harness.core.OnTaskYielded(gtid) : harness.core.OnTaskBlocked(gtid);
    }
    const auto cpu = static_cast<int>(random() % kCpus);
    if (agents[static_cast<size_t>(cpu)]->parked()) agents[0]->Ping(cpu);
    for (auto& agent : agents) {
      if (!agent->parked() && random() % 2 == 0) agent->Yield();
    }
    harness.core.CheckInvariants();
  }
  EXPECT_GT(both.runs, 1000u);
  EXPECT_GT(both.latched, 100u);
  EXPECT_GT(both.woke, 100u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PntTwinTest, testing::Range(1, 9));

}  // namespace
}  // namespace ghost
