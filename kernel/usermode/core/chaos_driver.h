// A driver that keeps its own book of every thread, and panics if the core breaks the contract of driver.h; and BPF
// programs of no sense at all. For random_test.
#ifndef GHOST_KERNEL_USERMODE_CORE_CHAOS_DRIVER_H_
#define GHOST_KERNEL_USERMODE_CORE_CHAOS_DRIVER_H_

#include <cerrno>
#include <iterator>
#include <map>
#include <random>
#include <set>

#include "kernel/usermode/core/bpf_program.h"
#include "kernel/usermode/core/fake_driver.h"
#include "lib/base/logging.h"

namespace ghost::usermode {

class ChaosDriver : public FakeDriver {
 public:
  enum class Life { kEntering, kHeld, kRunning, kBlocked };
  struct Thread {
    Life life = Life::kEntering;
    int cpu = -1;
    bool preempt_asked = false;
    bool reported = false;  // a report of its leaving the CPU is under way
  };
  std::map<int64_t, Thread> threads;
  std::map<int, int64_t> on_cpu;
  std::set<Tid> killed;

  AttachResult Attach(Tid, int64_t gtid) override {
    GHOST_CHECK(!threads.contains(gtid));
    if (random() % 16 == 0) return {.error = EPERM};
    const auto state = static_cast<AttachResult::State>(random() % 3);
    threads[gtid].life = state == AttachResult::State::kRunning   ? Life::kEntering
                         : state == AttachResult::State::kBlocked ? Life::kBlocked
                                                                  : Life::kHeld;
    return {.error = 0, .state = state, .runtime_ns = 5, .nice = 0};
  }
  void Detach(int64_t gtid) override {
    GHOST_CHECK(threads.contains(gtid)) << gtid;
    Gone(gtid);
  }
  void Run(int64_t gtid, int cpu) override {
    GHOST_CHECK(threads.contains(gtid) && threads[gtid].life == Life::kHeld) << gtid;
    GHOST_CHECK(!on_cpu.contains(cpu)) << "cpu " << cpu << " is taken";
    threads[gtid] = {.life = Life::kRunning, .cpu = cpu};
    on_cpu[cpu] = gtid;
  }
  void Preempt(int64_t gtid) override {
    GHOST_CHECK(threads.contains(gtid) && !threads[gtid].preempt_asked) << gtid;
    GHOST_CHECK(threads[gtid].life == Life::kRunning || threads[gtid].reported) << gtid;
    threads[gtid].preempt_asked = true;
  }
  uint64_t RuntimeNs(int64_t gtid) override {
    GHOST_CHECK(threads.contains(gtid)) << gtid;
    return 7;
  }
  std::optional<CpuSet> Affinity(int64_t gtid) override {
    GHOST_CHECK(threads.contains(gtid)) << gtid;
    return CpuSet{0};
  }
  int MayAttach(Tid, const Caller&) override { return random() % 16 == 0 ? EPERM : 0; }
  void KillAgent(Tid tid) override { killed.insert(tid); }
  void CompleteRequest(uint64_t request, int result) override {
    GHOST_CHECK(completed.emplace(request, result).second) << "request " << request << " is answered twice";
  }
  void NotifyNode(uint64_t) override {}
  void Log(const std::string&) override {}

  // It leaves its CPU (or its old life); the slot is free once that has been reported.
  void Gone(int64_t gtid) {
    if (threads[gtid].cpu >= 0) on_cpu.erase(threads[gtid].cpu);
    threads.erase(gtid);
  }

  std::mt19937 random;
};

// A program that asks for whatever comes to its mind, and leaves anything in its context.
class ChaosProgram : public BpfProgram {
 public:
  ChaosProgram(uint32_t seed, const ChaosDriver* driver) : random_(seed), driver_(*driver) {}

  bool Run(BpfHook, std::span<std::byte> context, int, BpfHelpers& helpers, int32_t* result) override {
    for (uint32_t asks = random_() % 4; asks > 0; --asks) {
      switch (random_() % 5) {
        case 0:
          helpers.WakeAgent(static_cast<int>(random_() % 8) - 2);
          break;
        case 1:
          helpers.ReschedCpu(static_cast<int>(random_() % 8) - 2, random_() % 70);
          break;
        case 2:
          helpers.LatchFailed(AnyGtid(), -ESTALE);
          break;
        default:
          helpers.RunGtid(AnyGtid(), random_() % 12, random_() % 8 == 0 ? static_cast<int32_t>(random_()) : 0);
      }
    }
    context[random_() % context.size()] = std::byte(random_());
    *result = static_cast<int32_t>(random_() % 8) - 2;
    return random_() % 8 != 0;
  }

 private:
  int64_t AnyGtid() {
    if (driver_.threads.empty()) return static_cast<int64_t>(random_());
    auto found = driver_.threads.begin();
    std::advance(found, random_() % driver_.threads.size());
    return found->first;
  }

  std::mt19937 random_;
  const ChaosDriver& driver_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_CHAOS_DRIVER_H_
