// The view as a program walks it, against a model, through random changes.
#include "kernel/usermode/linux/bpf_view.h"

#include <map>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace ghost::usermode {
namespace {

class MappedViewTest : public testing::Test {
 protected:
  // As ghost.bpf.h's ghost_view_slot does; null: not found.
  const ghost_view_task* Find(int64_t gtid) const {
    uint32_t slot = tasks_[ghost_view_bucket(gtid)].head;
    for (int i = 0; i < GHOST_VIEW_CHAIN && slot != 0; ++i) {
      if (tasks_[slot - 1].gtid == gtid) return &tasks_[slot - 1];
      slot = tasks_[slot - 1].next;
    }
    return nullptr;
  }
  bool Allowed(int64_t gtid, int cpu) const {
    return (effects_->mask[Find(gtid)->mask][cpu / 64] >> (cpu % 64) & 1) != 0;
  }
  static int64_t Gtid(int64_t n) { return (n % (1 << 22)) << 41 | (n * 7 + 1); }

  std::vector<ghost_view_task> tasks_{GHOST_VIEW_TASKS};
  std::vector<ghost_view_cpu> cpus_{GHOST_VIEW_CPUS};
  std::unique_ptr<ghost_effects> effects_ = std::make_unique<ghost_effects>();
  MappedView view_{tasks_.data(), cpus_.data(), effects_.get()};
};

TEST_F(MappedViewTest, RandomTasksAreFoundAsTheyAre) {
  std::mt19937_64 random(1);
  std::map<int64_t, BpfView::Task> model;
  for (int step = 0; step < 200'000; ++step) {
    const int64_t gtid = Gtid(static_cast<int64_t>(random() % 5000) + 1);
    if (random() % 3 == 0) {
      view_.TaskGone(gtid);
      model.erase(gtid);
    } else {
      const BpfView::Task task = {.gtid = gtid,
                                  .barrier = static_cast<uint32_t>(random()),
                                  .runnable = random() % 2 == 0,
                                  .on_cpu = random() % 2 == 0,
                                  .inhibited = random() % 9 == 0,
                                  .cpu = static_cast<int>(random() % 100)};
      view_.TaskChanged(task);
      model[gtid] = task;
    }
  }
  ASSERT_GT(model.size(), 1000u);
  for (int64_t n = 1; n <= 5000; ++n) {
    const ghost_view_task* found = Find(Gtid(n));
    const auto expected = model.find(Gtid(n));
    ASSERT_EQ(found != nullptr, expected != model.end()) << n;
    if (found == nullptr) continue;
    EXPECT_EQ(found->barrier, expected->second.barrier);
    EXPECT_EQ(found->cpu, expected->second.cpu);
    EXPECT_EQ((found->flags & GHOST_VIEW_RUNNABLE) != 0, expected->second.runnable);
    EXPECT_EQ((found->flags & GHOST_VIEW_ON_CPU) != 0, expected->second.on_cpu);
    EXPECT_EQ((found->flags & GHOST_VIEW_INHIBITED) != 0, expected->second.inhibited);
  }
}

TEST_F(MappedViewTest, EveryTaskOfAFullTableIsWithinReach) {
  for (int64_t n = 1; n <= GHOST_VIEW_TASKS; ++n) view_.TaskChanged({.gtid = Gtid(n)});
  for (int64_t n = 1; n <= GHOST_VIEW_TASKS; ++n) ASSERT_NE(Find(Gtid(n)), nullptr) << n;
  EXPECT_EQ(view_.tasks_left_out(), 0u);
  view_.TaskChanged({.gtid = Gtid(GHOST_VIEW_TASKS + 1)});
  EXPECT_EQ(view_.tasks_left_out(), 1u);
  EXPECT_EQ(Find(Gtid(GHOST_VIEW_TASKS + 1)), nullptr);
}

TEST_F(MappedViewTest, AffinitiesAreSharedAndGivenBack) {
  for (int64_t n = 1; n <= 3000; ++n) {
    view_.TaskChanged({.gtid = Gtid(n)});
    EXPECT_TRUE(Allowed(Gtid(n), 77));
    view_.TaskAffinity(Gtid(n), CpuSet({static_cast<int>(n % 400), 901}));
  }
  EXPECT_EQ(view_.masks_left_out(), 0u);
  EXPECT_TRUE(Allowed(Gtid(1700), 100) && Allowed(Gtid(1700), 901));
  EXPECT_FALSE(Allowed(Gtid(1700), 101));
  // As many again: both are in use for a while, then the first ones have no users any more.
  for (int64_t n = 1; n <= 3000; ++n) view_.TaskAffinity(Gtid(n), CpuSet({static_cast<int>(n % 400), 902}));
  EXPECT_EQ(view_.masks_left_out(), 0u);
  EXPECT_FALSE(Allowed(Gtid(1700), 901));
  // More than there is room for: such tasks seem to be allowed everywhere, and that is counted.
  for (int64_t n = 1; n <= 1500; ++n) {
    view_.TaskAffinity(Gtid(n), CpuSet({static_cast<int>(n % 900), static_cast<int>(n / 900) + 950}));
  }
  EXPECT_GT(view_.masks_left_out(), 0u);
}

TEST_F(MappedViewTest, WhatOthersScribbleDoesNoHarm) {
  for (int64_t n = 1; n <= 1000; ++n) view_.TaskChanged({.gtid = Gtid(n)});
  for (ghost_view_task& task : tasks_) {
    task.next = 0xffffffff;
    task.head = 0xfffffff0;
    task.gtid = -1;
    task.mask = 0xffffffff;
  }
  for (int64_t n = 1; n <= 1000; ++n) view_.TaskAffinity(Gtid(n), CpuSet({1}));
  for (int64_t n = 1; n <= 1000; ++n) view_.TaskGone(Gtid(n));
  view_.CpuChanged({.cpu = -1});
  view_.CpuChanged({.cpu = GHOST_VIEW_CPUS});
}

}  // namespace
}  // namespace ghost::usermode
