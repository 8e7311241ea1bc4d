// What tests of BPF programs against their twins in C++ have in common: who notes what programs ask for, and a driver
// whose tasks run, are preempted and have affinities.
#ifndef GHOST_TESTS_BPF_TWIN_EVENTS_H_
#define GHOST_TESTS_BPF_TWIN_EVENTS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/fake_driver.h"
#include "lib/base/cpu_set.h"

namespace ghost {

// Writes down what succeeds; passes on to `next`, if there is one.
class Recorder final : public usermode::BpfHelpers {
 public:
  explicit Recorder(usermode::BpfHelpers* next) : next_(next) {}
  int WakeAgent(int cpu) override { return Note(next_ ? next_->WakeAgent(cpu) : 0, absl::StrCat("wake ", cpu)); }
  int RunGtid(int64_t gtid, uint32_t barrier, int32_t flags) override {
    return Note(next_ ? next_->RunGtid(gtid, barrier, flags) : 0, absl::StrCat("run ", gtid, " ", barrier, " ", flags));
  }
  int ReschedCpu(int cpu, uint32_t flags) override {
    return Note(next_ ? next_->ReschedCpu(cpu, flags) : 0, absl::StrCat("resched ", cpu, " ", flags));
  }
  void NoteFailure() override { FAIL() << "an effect failed"; }

  std::vector<std::string> calls;

 private:
  int Note(int error, std::string call) {
    if (error == 0) calls.push_back(std::move(call));
    return error;
  }
  usermode::BpfHelpers* const next_;
};

class TaskDriver : public usermode::FakeDriver {
 public:
  explicit TaskDriver(int num_cpus) : other_affinity(CpuSet::FirstN(num_cpus)) {}
  std::optional<CpuSet> Affinity(int64_t gtid) override {
    auto found = affinities.find(gtid);
    return found == affinities.end() ? other_affinity : found->second;
  }
  void Run(int64_t gtid, int cpu) override { running[gtid] = cpu; }
  void Preempt(int64_t gtid) override { preempted.push_back(gtid); }

  // It runs no more, by itself.
  void Forget(int64_t gtid) {
    running.erase(gtid);
    std::erase(preempted, gtid);
  }
  // Those that were to stop have stopped.
  void GatePreempted(usermode::Core* core) {
    while (!preempted.empty()) {
      const int64_t gtid = preempted.back();
      preempted.pop_back();
      running.erase(gtid);
      core->OnTaskGated(gtid);
    }
  }

  CpuSet other_affinity;  // of those that `affinities` does not name
  std::map<int64_t, CpuSet> affinities;
  std::map<int64_t, int> running;
  std::vector<int64_t> preempted;
};

}  // namespace ghost

#endif  // GHOST_TESTS_BPF_TWIN_EVENTS_H_
