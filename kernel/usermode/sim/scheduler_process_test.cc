// The FIFO scheduler, whole, over a simulated machine: start, schedule, die, be replaced.
#include "kernel/usermode/sim/scheduler_process.h"

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernel/usermode/sim/topology_spec.h"
#include "schedulers/fifo/per_cpu/fifo_policy.h"

namespace ghost::sim {
namespace {

constexpr int64_t kUs = 1000;
constexpr int64_t kMs = 1'000'000;

// Runs, sleeps, and runs again, for ever.
class Periodic : public Program {
 public:
  Periodic(int64_t run_ns, int64_t sleep_ns) : run_ns_(run_ns), sleep_ns_(sleep_ns) {}
  Action Next(const Thread&, int64_t) override {
    runs_ = !runs_;
    return runs_ ? Action::Run(run_ns_) : Action::Sleep(sleep_ns_);
  }

 private:
  const int64_t run_ns_;
  const int64_t sleep_ns_;
  bool runs_ = false;
};

class SchedulerProcessTest : public testing::Test {
 protected:
  explicit SchedulerProcessTest(const MachineOptions& options = {.num_cpus = 2}) : machine_(options) {
    machine_.on_answer = [this](uint64_t, Tid tid, int result) {
      for (SchedulerProcess* process : processes_) process->OnAnswer(tid, result);
    };
  }
  std::unique_ptr<SchedulerProcess> Start(const std::string& enclave = "") {
    auto process = std::make_unique<SchedulerProcess>(
        &machine_, SchedulerProcess::Options{
                       .scheduler = PerCpuScheduler<FifoPolicy>::Make, .cpus = CpuSet::FirstN(2), .enclave = enclave});
    processes_.push_back(process.get());
    return process;
  }
  bool WaitReady(const SchedulerProcess& process) {
    return machine_.RunUntil([&] { return process.ready() || process.ended(); }, machine_.now_ns() + 100 * kMs) &&
           process.ready();
  }
  Thread& Task(int64_t run_ns, int64_t sleep_ns) {
    Thread& thread = machine_.threads().Create({}, std::make_unique<Periodic>(run_ns, sleep_ns));
    SimCaller& root = machine_.CallerOf(machine_.StartProcess().tgid);
    EXPECT_GT(machine_.WriteFile(root, "enclave_1/tasks", std::to_string(thread.tid)), 0);
    return thread;
  }
  double Share(const Thread& thread, uint64_t before_ns, int64_t of_ns) {
    return static_cast<double>(machine_.threads().RuntimeNs(thread) - before_ns) / static_cast<double>(of_ns);
  }

  Machine machine_;
  std::vector<SchedulerProcess*> processes_;
};

// A core of two hardware threads; the scheduler has one of them.
class SmtTest : public SchedulerProcessTest {
 protected:
  SmtTest() : SchedulerProcessTest({.topology = MakeTopology({.smt = 2})}) {}
  // What a task that works 100 us and sleeps 100 us gets of the CPU.
  double ShareOfTask() {
    SchedulerProcess process(&machine_, {.scheduler = PerCpuScheduler<FifoPolicy>::Make, .cpus = CpuSet{0}});
    processes_.push_back(&process);
    EXPECT_TRUE(WaitReady(process));
    Thread& task = Task(100 * kUs, 100 * kUs);
    machine_.RunFor(500 * kMs);  // a single turn more or less is 0.0002
    return Share(task, 0, 500 * kMs);
  }
};

TEST_F(SmtTest, AnIdleSiblingCostsNothing) { EXPECT_NEAR(ShareOfTask(), 100 / (200 + 0.725 + 0.1 + 0.888), 0.0003); }

TEST_F(SmtTest, AgentAndKernelAreSlowerBesideABusySibling) {
  machine_.SetBusy(1, true);
  const CostModel& costs = machine_.costs();
  const double agent_us =
      static_cast<double>(costs.message_ns + costs.pass_ns + costs.syscall_ns + costs.commit_ns) / 1000;
  const double kernel_us = static_cast<double>(costs.wakeup_ns + 2 * costs.context_switch_ns) / 1000;
  EXPECT_NEAR(ShareOfTask(), 100 / (200 + 0.725 + 0.1 + 0.888 + 0.6 * (agent_us + kernel_us)), 0.0003);
}

TEST_F(SchedulerProcessTest, SchedulesTasks) {
  auto process = Start();
  ASSERT_TRUE(WaitReady(*process)) << process->start_status();
  std::vector<Thread*> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(&Task(50 * kUs, 50 * kUs));
  machine_.RunFor(10 * kMs);
  machine_.core().CheckInvariants();
  const RuntimeCounters counters = process->scheduler()->runtime().TotalCounters();
  EXPECT_EQ(counters.tasks, 4u);
  EXPECT_GT(counters.commits, 300u);
  EXPECT_EQ(counters.illegal_changes, 0u);
  // Four tasks on two CPUs that want half of one each; what is missing is what their switches cost.
  for (Thread* task : tasks) EXPECT_NEAR(Share(*task, 0, 10 * kMs), 0.47, 0.03) << task->tid;
}

TEST_F(SchedulerProcessTest, TakesTheTimeOfThePapersTable) {
  auto process = Start();
  ASSERT_TRUE(WaitReady(*process));
  machine_.RunFor(kMs);
  Thread& task = Task(100 * kUs, 100 * kUs);
  machine_.RunFor(50 * kMs);
  // One turn: 100 us asleep, 100 us of work, and from the wake-up on: message to the local agent 725, decision 100,
  // local schedule 888; after its end its BLOCKED costs time that its sleep hides.
  const double turn_us = 200 + 0.725 + 0.1 + 0.888;
  EXPECT_NEAR(Share(task, 0, 50 * kMs), 100 / turn_us, 0.004);
}

TEST_F(SchedulerProcessTest, AKilledOneIsReplaced) {
  auto first = Start();
  ASSERT_TRUE(WaitReady(*first));
  Thread& task = Task(50 * kUs, 50 * kUs);
  machine_.RunFor(3 * kMs);
  const std::string enclave = first->enclave();
  first->Kill();
  machine_.RunFor(kMs);
  machine_.core().CheckInvariants();
  const uint64_t before = machine_.threads().RuntimeNs(task);
  machine_.RunFor(kMs);
  EXPECT_EQ(machine_.threads().RuntimeNs(task), before);  // nobody schedules it
  auto second = Start(enclave);
  ASSERT_TRUE(WaitReady(*second)) << second->start_status();
  machine_.RunFor(10 * kMs);
  EXPECT_GT(Share(task, before, 10 * kMs), 0.45);
}

TEST_F(SchedulerProcessTest, AnUpgradeWaitsForTheOldOne) {
  auto first = Start();
  ASSERT_TRUE(WaitReady(*first));
  Thread& task = Task(50 * kUs, 50 * kUs);
  machine_.RunFor(3 * kMs);
  auto second = Start(first->enclave());
  machine_.RunFor(3 * kMs);
  EXPECT_FALSE(second->ready());
  const uint64_t before = machine_.threads().RuntimeNs(task);
  first->Leave();
  ASSERT_TRUE(WaitReady(*second)) << second->start_status();
  machine_.RunFor(10 * kMs);
  EXPECT_GT(Share(task, before, 10 * kMs), 0.45);
  EXPECT_EQ(second->scheduler()->runtime().CountTasks(), 1);
}

TEST_F(SchedulerProcessTest, ADestroyedEnclaveEndsIt) {
  auto process = Start();
  ASSERT_TRUE(WaitReady(*process));
  Thread& task = Task(50 * kUs, 50 * kUs);
  machine_.RunFor(kMs);
  SimCaller& root = machine_.CallerOf(machine_.StartProcess().tgid);
  EXPECT_GT(machine_.WriteFile(root, "enclave_1/ctl", "destroy"), 0);
  machine_.RunFor(kMs);
  EXPECT_TRUE(process->ended());
  EXPECT_EQ(task.scheduling_class, Thread::Class::kOrdinary);
  EXPECT_GT(Share(task, 0, 2 * kMs), 0.4);
  EXPECT_EQ(machine_.driver().num_regions(), 0u);
}

}  // namespace
}  // namespace ghost::sim
