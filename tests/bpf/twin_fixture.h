// A scheduler's BPF programs, run by the kernel as ghostd has them run, against their twin in C++: a core under random
// events calls both at each hook, and they must answer the same, write the same into the context, and ask for the same.
//
//     class MineTest : public SchedulerTwinTest { void SetUp() override { Load("mine", MineObjects()); …; Start(twin);
//     } };
//
// Tests run it: Step() for each event, and now and then a comparison of what both hold.
#ifndef GHOST_TESTS_BPF_TWIN_FIXTURE_H_
#define GHOST_TESTS_BPF_TWIN_FIXTURE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/core/core_harness.h"
#include "kernel/usermode/linux/bpf_host.h"
#include "lib/bpf/programs.h"
#include "tests/bpf/twin_events.h"

namespace ghost {

// The parameter is the seed.
class SchedulerTwinTest : public testing::TestWithParam<int> {
 protected:
  static constexpr int kCpus = 4;
  explicit SchedulerTwinTest(int cpus = kCpus) : cpus_(cpus) {}

  // Loads the programs NAME_pnt, NAME_msg and NAME_select_rq into programs_.
  void Load(const std::string& name, std::span<const BpfObjectFile> objects);
  // From here on there are an enclave with agents, and both sides' programs; `twin` makes the twin's for one hook.
  void Start(const std::function<std::unique_ptr<usermode::BpfProgram>()>& twin);
  // A random event.
  void Step();

  uint32_t Random(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  uint64_t runs() const { return runs_; }

  const int cpus_;
  std::unique_ptr<BpfPrograms> programs_;
  TaskDriver* driver_ = new TaskDriver(cpus_);
  // Before each run of a program, if it is set.
  std::function<void()> before_run_;
  // Affinities are made of CPUs below it: those that are not the enclave's, too.
  int affinity_cpus_ = cpus_;
  std::unique_ptr<usermode::Harness> harness_ = std::make_unique<usermode::Harness>(
      usermode::CoreOptions{.num_cpus = cpus_, .abi_versions = {91}}, std::unique_ptr<usermode::FakeDriver>(driver_));
  std::vector<std::unique_ptr<usermode::TestAgent>> agents_;
  usermode::Tid next_tid_ = 1000;

 private:
  class Both;
  void Attach(const std::string& name, usermode::BpfHook hook, std::unique_ptr<usermode::BpfProgram> twin);
  int64_t AnyTask();
  int AnyCpu() { return static_cast<int>(Random(static_cast<uint32_t>(cpus_))); }
  void TaskEvent();
  void Exit(int64_t gtid);
  void PassTime();

  std::string name_;
  usermode::BpfHost host_{cpus_, [](const std::string& line) { FAIL() << line; }};
  uint64_t runs_ = 0;
  std::mt19937_64 random_{static_cast<uint64_t>(GetParam())};
  std::vector<int64_t> tasks_;
};

}  // namespace ghost

#endif  // GHOST_TESTS_BPF_TWIN_FIXTURE_H_
