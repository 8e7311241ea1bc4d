// flux's BPF programs against their twin in C++ (twin_fixture.h), with several trees.
#include "kernel/usermode/sim/flux_twin.h"

#include <memory>

#include "gtest/gtest.h"
#include "schedulers/flux/flux_tree.h"
#include "tests/bpf/twin_fixture.h"
#include "third_party/bpf/flux.h"
#include "third_party/bpf/flux_objects.h"

namespace ghost {
namespace {

constexpr const char* kTrees[] = {
    "roci(prov:1(biff, biff), idle)",
    "roci(biff, idle)",
    "prov:2(biff, biff, biff, idle)",
    "roci(prov:1(roci(biff, biff), biff, biff), biff, idle)",
};

sim::FluxTwin::Type TypeOf(uint32_t type) {
  switch (type) {
    case FLUX_TYPE_biff:
      return sim::FluxTwin::Type::kBiff;
    case FLUX_TYPE_idle:
      return sim::FluxTwin::Type::kIdle;
    case FLUX_TYPE_roci:
      return sim::FluxTwin::Type::kRoci;
    default:
      EXPECT_EQ(type, uint32_t{FLUX_TYPE_prov});
      return sim::FluxTwin::Type::kProv;
  }
}

class FluxTwinTest : public SchedulerTwinTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(Load("flux", FluxObjects()));
    state_ = programs_->Global<flux>();
    ASSERT_NE(state_, nullptr);
    // Real time goes on between the two: a slice is over at once, or never.
    const bool endless = GetParam() % 2 == 0;
    state_->slice_ns = endless ? uint64_t{1} << 60 : 0;
    state_->cpu_mask[0] = (1 << kCpus) - 1;
    tree_ = *FluxTree::Parse(kTrees[static_cast<size_t>(GetParam()) / 2 % std::size(kTrees)]);
    tree_.Store(state_);
    state_->initialized = 1;
    sim::FluxTwin::Options options = {.cpus = CpuSet::FirstN(kCpus),
                                      .slice_ns = endless ? int64_t{1} << 60 : 0,
                                      .now_ns = [this] { return driver_->now_ns; },
                                      .affinity = [this](int64_t gtid) { return driver_->Affinity(gtid); },
                                      .tree = {}};
    for (int number = 1; number <= tree_.size(); ++number) {
      const FluxTree::Node& node = tree_.node(number);
      options.tree.push_back({.type = TypeOf(node.type), .parent = node.parent, .limit = node.limit});
    }
    twin_ = std::make_unique<sim::FluxTwin>(options);
    twin_->StartScheduling();
    affinity_cpus_ = kCpus + 2;
    Start([this] { return twin_->Program(); });
  }

  // Both hold the same, and what the programs count is what there is.
  void Compare() {
    EXPECT_EQ(state_->threads_now, twin_->tasks());
    for (int number = 1; number <= tree_.size(); ++number) {
      const flux_sched& its = state_->scheds[number];
      EXPECT_EQ(its.nr_cpus, twin_->cpus_of(number)) << tree_.PathOf(number);
      EXPECT_EQ(its.waiting, twin_->waiting_of(number)) << tree_.PathOf(number);
      EXPECT_EQ(its.counters.picks, twin_->picks_of(number)) << tree_.PathOf(number);
    }
    CompareThreads();
  }

  void CompareThreads() {
    size_t threads = 0, waiting = 0;
    for (uint32_t slot = 0; slot < FLUX_MAX_THREADS; ++slot) {
      const flux_thread& thread = state_->threads[slot];
      threads += thread.gtid != 0;
      waiting += thread.waits != FLUX_NOT_WAITING;
      // Nothing is lost: who can run runs, waits, or may run nowhere.
      if (thread.gtid != 0 && thread.runnable && thread.cpu < 0 && !thread.nowhere) {
        EXPECT_NE(thread.waits, FLUX_NOT_WAITING);
      }
    }
    EXPECT_EQ(threads, twin_->tasks());
    size_t listed = 0, counted = state_->scheds[FLUX_ROOT].waiting;
    for (const ghost_list& list : state_->lists) listed += list.count;
    for (uint32_t pinned : state_->scheds[FLUX_ROOT].pinned) counted += pinned;
    EXPECT_EQ(listed, waiting);
    EXPECT_EQ(counted, waiting);
  }

  flux* state_ = nullptr;
  FluxTree tree_;
  std::unique_ptr<sim::FluxTwin> twin_;
};

TEST_P(FluxTwinTest, ProgramAndTwinAreTheSame) {
  for (int step = 0; step < 3000 && !HasFailure(); ++step) {
    Step();
    if (step % 100 == 0) Compare();
  }
  EXPECT_GT(runs(), 3000u);
  EXPECT_GT(twin_->picks(), 100u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, FluxTwinTest, testing::Range(1, 17));

}  // namespace
}  // namespace ghost
