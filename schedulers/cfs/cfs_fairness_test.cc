// What fairness means, as properties that hold for whatever tasks and whatever they do (rapidcheck draws both): one CPU
// that does as the policy says, in exact time.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"
#include "lib/testing/task_test_peer.h"
#include "rapidcheck.h"
#include "schedulers/cfs/cfs_policy.h"

namespace ghost {
namespace {

using Task = CfsPolicy::Task;
using Reason = EnqueueReason;

constexpr int64_t kUs = 1'000;
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kTickNs = 4 * kMs;

// One CPU and its tasks.
class OneCpu {
 public:
  OneCpu(const std::vector<int>& nices, const CfsPolicy::Options& options)
      : tasks_(nices.size()), policy_({.cpus = CpuSet::FirstN(1)}, options) {
    for (size_t i = 0; i < nices.size(); ++i) {
      TaskTestPeer::SetNice(&tasks_[i], nices[i]);
      Enqueue(i, Reason::kNew);
    }
  }
  ~OneCpu() {
    for (Task& task : tasks_) {
      if (task.link.is_linked()) policy_.Dequeue(0, &task);
    }
  }

  void Enqueue(size_t i, Reason reason) { policy_.Enqueue(0, &tasks_[i], reason, Now()); }
  // The task that gets the CPU, of which slice() is granted. Some task must want it.
  size_t Pick() {
    const auto pick = policy_.PickNext(0, Now());
    RC_ASSERT(pick.task != nullptr);
    slice_ns_ = pick.slice_end.ns() - now_ns_;
    RC_ASSERT(slice_ns_ > 0);
    return static_cast<size_t>(pick.task - tasks_.data());
  }
  void Run(size_t i, int64_t ns) {
    now_ns_ += ns;
    TaskTestPeer::SetRuntimeNs(&tasks_[i], tasks_[i].runtime_ns() + static_cast<uint64_t>(ns));
  }
  void Block(size_t i) { policy_.OnBlocked(0, &tasks_[i], Now()); }

  Time Now() const { return Time::FromNanoseconds(now_ns_); }
  int64_t now_ns() const { return now_ns_; }
  int64_t slice_ns() const { return slice_ns_; }
  const Task& task(size_t i) const { return tasks_[i]; }
  size_t size() const { return tasks_.size(); }
  CfsPolicy& policy() { return policy_; }
  int64_t TotalWeight() const {
    return std::accumulate(tasks_.begin(), tasks_.end(), int64_t{0},
                           [](int64_t sum, const Task& task) { return sum + NiceWeight(task.nice()); });
  }

 private:
  std::vector<Task> tasks_;
  CfsPolicy policy_;  // after the tasks: its queues go before what stands in them
  int64_t now_ns_ = 0;
  int64_t slice_ns_ = 0;
};

std::vector<int> AnyNices(int least, int most) {
  const int count = *rc::gen::inRange(2, 9);
  std::vector<int> nices;
  for (int i = 0; i < count; ++i) nices.push_back(*rc::gen::inRange(least, most + 1));
  return nices;
}

template <typename Property>
void Check(const char* what, Property property) {
  EXPECT_TRUE(rc::check(what, property));
}

// Lag: what a task would have got from a CPU that is divided in no time, less what it has got.
TEST(CfsFairnessTest, TheLagOfATaskIsWithinItsSlice) {
  Check("lag", [] {
    // A latency so long that nobody's slice is as short as min_granularity.
    const std::vector<int> nices = AnyNices(-10, 10);
    OneCpu cpu(nices, {.min_granularity = absl::Microseconds(10), .latency = absl::Milliseconds(200)});
    std::vector<int> runs(nices.size(), 0);
    const auto run_slice = [&] {
      const size_t i = cpu.Pick();
      ++runs[i];
      cpu.Run(i, cpu.slice_ns());
      cpu.Enqueue(i, Reason::kSliceExpired);
    };
    // New ones stand a slice to the right, and slices were longer while they were fewer: until that is over.
    for (int n = 0; *std::min_element(runs.begin(), runs.end()) < 2; ++n) {
      RC_ASSERT(n < 1'000'000);
      run_slice();
    }
    const auto total = static_cast<double>(cpu.TotalWeight());
    for (size_t n = 0; n < 20 * nices.size(); ++n) {
      double mean = 0;  // of vruntime, by weight: where all would stand
      for (size_t i = 0; i < cpu.size(); ++i) {
        mean += static_cast<double>(cpu.task(i).vruntime) * static_cast<double>(cpu.task(i).weight) / total;
      }
      for (size_t i = 0; i < cpu.size(); ++i) {
        const auto weight = static_cast<double>(cpu.task(i).weight);
        const double lag_ns = (mean - static_cast<double>(cpu.task(i).vruntime)) * weight / 1024;
        RC_ASSERT(std::abs(lag_ns) <= 200e6 * weight / total + 1000);
      }
      run_slice();
    }
  });
}

// Slices are only looked at when a tick comes, as in a kernel.
TEST(CfsFairnessTest, SharesAreByWeight) {
  Check("shares", [] {
    const std::vector<int> nices = AnyNices(-6, 6);
    OneCpu cpu(nices, {});
    while (cpu.now_ns() < 60'000 * kMs) {
      const size_t i = cpu.Pick();
      const bool over = cpu.slice_ns() <= kTickNs;
      cpu.Run(i, kTickNs);
      cpu.Enqueue(i, over ? Reason::kSliceExpired : Reason::kPreempted);
    }
    for (size_t i = 0; i < cpu.size(); ++i) {
      const double share = static_cast<double>(cpu.task(i).runtime_ns()) / static_cast<double>(cpu.now_ns());
      const double fair = static_cast<double>(cpu.task(i).weight) / static_cast<double>(cpu.TotalWeight());
      RC_ASSERT(std::abs(share - fair) <= 0.02);
    }
  });
}

TEST(CfsFairnessTest, WeightsOneTwoFour) {
  OneCpu cpu({0, -3, -6}, {});  // 1024, 2000, 3906
  while (cpu.now_ns() < 10'000 * kMs) {
    const size_t i = cpu.Pick();
    cpu.Run(i, cpu.slice_ns());
    cpu.Enqueue(i, Reason::kSliceExpired);
  }
  const double unit = static_cast<double>(cpu.now_ns()) / 7;
  EXPECT_NEAR(static_cast<double>(cpu.task(0).runtime_ns()) / unit, 1, 0.14);  // 2 % of all
  EXPECT_NEAR(static_cast<double>(cpu.task(1).runtime_ns()) / unit, 2, 0.14);
  EXPECT_NEAR(static_cast<double>(cpu.task(2).runtime_ns()) / unit, 4, 0.14);
}

// Whatever tasks do: time of a queue does not go back, nobody gains by sleeping more than he may, nobody starves.
TEST(CfsFairnessTest, WhateverTasksDo) {
  Check("anything", [] {
    const std::vector<int> nices = AnyNices(-5, 5);
    OneCpu cpu(nices, {});
    std::vector<int64_t> wakes_at(nices.size(), 0);     // 0: it is awake
    std::vector<int64_t> waits_since(nices.size(), 0);  // of those awake
    const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 1'000'000));
    int64_t min_before = cpu.policy().min_vruntime(0);
    for (const int step : steps) {
      for (size_t i = 0; i < nices.size(); ++i) {
        if (wakes_at[i] == 0 || wakes_at[i] > cpu.now_ns()) continue;
        wakes_at[i] = 0;
        waits_since[i] = cpu.now_ns();
        cpu.Enqueue(i, step % 2 == 0 ? Reason::kWoken : Reason::kWokenDeferrable);
        RC_ASSERT(cpu.task(i).vruntime >= cpu.policy().min_vruntime(0) - 5 * kMs);
      }
      if (std::all_of(wakes_at.begin(), wakes_at.end(), [](int64_t at) { return at != 0; })) {
        // All sleep: until the first wakes.
        const size_t first = static_cast<size_t>(std::min_element(wakes_at.begin(), wakes_at.end()) - wakes_at.begin());
        wakes_at[first] = 0;
        waits_since[first] = cpu.now_ns();
        cpu.Enqueue(first, Reason::kWoken);
      }
      const size_t i = cpu.Pick();
      const int64_t slice_ns = std::min(cpu.slice_ns(), 10 * kMs);  // who is alone has no end
      // 20 periods of 10 ms, though others that wake go in front of it.
      RC_ASSERT(cpu.now_ns() - waits_since[i] <= 200 * kMs);
      cpu.Run(i, 1 + slice_ns * (step % 100) / 99);
      waits_since[i] = cpu.now_ns();
      switch (step / 100 % 4) {
        case 0:
          cpu.Enqueue(i, Reason::kSliceExpired);
          break;
        case 1:
          cpu.Enqueue(i, Reason::kPreempted);
          break;
        case 2:
          cpu.Enqueue(i, Reason::kYielded);
          break;
        case 3:
          cpu.Block(i);
          wakes_at[i] = cpu.now_ns() + (step / 400) * 10 * kUs;
          break;
      }
      const int64_t min_now = cpu.policy().min_vruntime(0);
      RC_ASSERT(min_now >= min_before);
      min_before = min_now;
    }
  });
}

}  // namespace
}  // namespace ghost
