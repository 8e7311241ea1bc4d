// A slot of the PNT rings, agent and program (its twin) as they are: all interleavings of offering a task, taking it
// back and offering another, while a CPU wants one. (CPUs take turns at a ring, by the program's lock.)
#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernel/usermode/sim/pnt_twin.h"
#include "lib/base/shared_word.h"
#include "lib/pnt_ring.h"
#include "tests/interleaving/explorer.h"
#include "third_party/bpf/pnt_ring.h"

namespace ghost::interleaving {
namespace {

constexpr uint32_t kOrder = 5;

// The kernel knows each task by its barrier, which is its gtid here: a torn slot is refused.
class Latch final : public usermode::BpfHelpers {
 public:
  explicit Latch(bool refuses) : refuses_(refuses) {}
  int WakeAgent(int) override { return 0; }
  int RunGtid(int64_t gtid, uint32_t barrier, int32_t) override {
    torn |= gtid != barrier;
    if (refuses_) return -ESTALE;
    latched.push_back(gtid);
    return 0;
  }
  int ReschedCpu(int, uint32_t) override { return 0; }
  void NoteFailure() override {}
  bool torn = false;
  std::vector<int64_t> latched;

 private:
  const bool refuses_;
};

struct World {
  struct ProgramLock final : sim::PntTwin::Lock {
    void Acquire() override { lock.Acquire(); }
    void Release() override { lock.Release(); }
    interleaving::Lock lock;
  };
  explicit World(bool refuses) : kernel(refuses) {
    memory->active = 1;
    for (auto& cpu : memory->cpus) cpu.ring = 1;
  }
  // Task 1 is offered, and taken back; if a CPU was faster and is done with it, it is reaped. Then task 2 is offered in
  // its place, if it can be.
  void Agent() {
    const uint64_t cpus[] = {3};
    mine[1] = !slot.Publish(1, 1, kOrder, cpus) || slot.Revoke(kOrder);
    if (!mine[1]) {
      const uint32_t status = PNT_STATUS(slot.word());
      if (status != PNT_LATCHED && status != PNT_FAILED) return;
      reaped = status;
      slot.Free();
    }
    mine[2] = !slot.Publish(2, 2, kOrder, cpus);
    reordered = !mine[2] && slot.Reorder(kOrder, kOrder - 1);
  }
  void Cpu() { sim::PntTwin(memory.get(), &lock, 1).PickNextTask({}, /*cpu=*/0, kernel); }

  std::string End() {
    if (kernel.torn) return "a program has read half of a slot";
    const uint64_t word = slot.word();
    for (int64_t task : {1, 2}) {
      const auto runs = std::count(kernel.latched.begin(), kernel.latched.end(), task);
      const bool was_offered = task == 1 || mine[1] || reaped != PNT_EMPTY;
      if (runs > 1) return "a task runs twice";
      if (mine[task] || !was_offered) {
        if (runs != 0) return "a task is the agent's, and a CPU runs it";
        continue;
      }
      // Who has it is what the slot says, or said.
      const uint32_t told = task == 1 && reaped != PNT_EMPTY ? reaped : PNT_STATUS(word);
      if (told == PNT_EMPTY) return "a task is lost";
      if ((runs == 1) != (told == PNT_LATCHED)) return "the slot does not say what is";
    }
    switch (PNT_STATUS(word)) {
      case PNT_READY:
        return word == PNT_WORD(PNT_READY, 0, reordered ? kOrder - 1 : kOrder) ? "" : "not the agent's word";
      case PNT_EMPTY:
      case PNT_LATCHED:
      case PNT_FAILED:
        return "";
    }
    return "a slot stays claimed";
  }

  std::shared_ptr<pnt> memory = std::make_shared<pnt>();
  PntSlot slot{&memory->rings[0].slots[0]};
  ProgramLock lock;
  Latch kernel;
  bool mine[3] = {};            // by task: the agent has it back, or could not offer it
  uint32_t reaped = PNT_EMPTY;  // what became of task 1, if that has been read
  bool reordered = false;
};

Result ExploreSlot(Mutation mutation, bool refuses = false) {
  return Explore(
      [refuses] {
        auto world = std::make_shared<World>(refuses);
        Story story{.owner = world};
        story.threads = {[world] { world->Agent(); }, [world] { world->Cpu(); }};
        story.end = [world] { return world->End(); };
        return story;
      },
      mutation, /*max_runs=*/20'000'000);
}

TEST(PntSlotTest, OneSideGetsEachTask) {
  const Result result = ExploreSlot(Mutation::kNone);
  EXPECT_EQ(result.violation, "");
  EXPECT_GT(result.runs, 1000u);
  RecordProperty("runs", static_cast<int>(result.runs));
}

TEST(PntSlotTest, AlsoIfTheKernelRefuses) { EXPECT_EQ(ExploreSlot(Mutation::kNone, /*refuses=*/true).violation, ""); }

TEST(PntSlotTest, ClaimingIsOneStepAndEveryOrderIsNeeded) {
  EXPECT_NE(ExploreSlot(Mutation::kTornExchange).violation, "");
  EXPECT_NE(ExploreSlot(Mutation::kRelaxedStores).violation, "");
  EXPECT_NE(ExploreSlot(Mutation::kRelaxedLoads).violation, "");
}

}  // namespace
}  // namespace ghost::interleaving
