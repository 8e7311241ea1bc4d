// The driver's side of the contract in core/driver.h, and the machine as whoever writes a test over it sees it.
#include "kernel/usermode/sim/machine.h"

#include <fcntl.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/cpu_set.h"

namespace ghost::sim {
namespace {

// Who was where, as "time event tid cpu".
class Log : public Observer {
 public:
  void OnRun(const Thread& thread, int64_t now) override { Add(now, "run", thread); }
  void OnOff(const Thread& thread, OffReason reason, int64_t now) override { Add(now, OffReasonName(reason), thread); }
  std::vector<std::string> Take() { return std::exchange(lines_, {}); }

 private:
  void Add(int64_t now, const char* what, const Thread& thread) {
    lines_.push_back(std::to_string(now) + " " + what + " " + std::to_string(thread.tid) + " cpu " +
                     std::to_string(thread.cpu));
  }
  std::vector<std::string> lines_;
};

using Lines = std::vector<std::string>;

// Two CPUs, an enclave of both, an agent on CPU 0 whose queue is the default one. Nothing costs time; it is 0 o'clock.
class MachineTest : public testing::Test {
 protected:
  MachineTest() : machine_({.num_cpus = 2, .costs = CostModel::Zero(), .start_ns = 0}) {
    machine_.AddObserver(&log_);
    process_ = &machine_.StartProcess();
    agent_ = &machine_.StartAgentThread(*process_);
    EXPECT_GT(machine_.WriteFile(*agent_, "ctl", "create 1 91"), 0);
    EXPECT_GT(machine_.WriteFile(*agent_, "enclave_1/cpulist", "0-1"), 0);
    EXPECT_GT(machine_.WriteFile(*agent_, "enclave_1/ctl", "create sw_region 0 0"), 0);
    ctl_ = machine_.Open(*agent_, "enclave_1/ctl", O_RDWR);
    ghost_ioc_create_queue create = {.elems = 64, .node = 0, .flags = 0, .pad = 0, .mapsize = 0};
    const int id = machine_.Ioctl(*agent_, ctl_, GHOST_IOC_CREATE_QUEUE, &create).result;
    queue_ = machine_.Open(*agent_, "enclave_1/queue_" + std::to_string(id), O_RDWR);
    ghost_ioc_set_default_queue set = {.fd = queue_};
    EXPECT_EQ(machine_.Ioctl(*agent_, ctl_, GHOST_IOC_SET_DEFAULT_QUEUE, &set).result, 0);
    EXPECT_GT(machine_.Write(*agent_, ctl_, "become agent 0 " + std::to_string(queue_)), 0);
    ghost_agent_wakeup wakeup = {.cpu = 0, .prio = 0};
    ghost_ioc_config_queue_wakeup config = {
        .qfd = queue_, .pad = 0, .w = reinterpret_cast<uint64_t>(&wakeup), .ninfo = 1, .flags = 0};
    EXPECT_EQ(machine_.Ioctl(*agent_, ctl_, GHOST_IOC_CONFIG_QUEUE_WAKEUP, &config).result, 0);
    data_ = machine_.Map(*agent_, machine_.Open(*agent_, "enclave_1/cpu_data", O_RDWR));
    words_ = machine_.Map(*agent_, machine_.Open(*agent_, "enclave_1/sw_regions/sw_0", O_RDONLY));
  }
  ~MachineTest() override { machine_.core().CheckInvariants(); }

  ghost_txn& Txn(int cpu) { return reinterpret_cast<ghost_cpu_data*>(data_.bytes.data())[cpu].txn; }
  ghost_status_word& Word(uint64_t type, uint64_t arg) {
    ghost_ioc_sw_get_info get = {.request = {.type = static_cast<uint32_t>(type), .pad = 0, .arg = arg},
                                 .response = {}};
    EXPECT_EQ(machine_.Ioctl(*agent_, ctl_, GHOST_IOC_SW_GET_INFO, &get).result, 0);
    return reinterpret_cast<ghost_status_word*>(words_.bytes.data() +
                                                sizeof(ghost_sw_region_header))[get.response.index];
  }
  uint32_t Head() { return Ring()->head; }
  ghost_ring* Ring() {
    const Machine::Mapping queue = machine_.Map(*agent_, queue_);
    return reinterpret_cast<ghost_ring*>(queue.bytes.data() + sizeof(ghost_queue_header));
  }
  // A puppet that was made a task, and is held.
  Thread& Task() {
    Thread& thread = machine_.StartPuppet();
    EXPECT_GT(machine_.WriteFile(*agent_, "enclave_1/tasks", std::to_string(thread.tid)), 0);
    machine_.RunFor(0);
    EXPECT_EQ(thread.state, Thread::State::kRunnable);
    log_.Take();
    return thread;
  }
  // The agent gives its CPU to the task, and sleeps.
  Machine::IoctlResult CommitLocal(const Thread& task) {
    Commit(task);  // stale if a message has come: its word shows the barrier then
    const Machine::IoctlResult result = Commit(task);
    EXPECT_EQ(Txn(0).state, GHOST_TXN_COMPLETE);
    EXPECT_TRUE(result.pending);
    return result;
  }
  Machine::IoctlResult Commit(const Thread& task) {
    ghost_txn& txn = Txn(0);
    if (last_.pending && machine_.IsPending(last_.request)) return last_;
    txn.version = 0;
    txn.cpu = 0;
    txn.agent_barrier = Word(GHOST_AGENT, 0).barrier;
    txn.task_barrier = Word(GHOST_TASK, static_cast<uint64_t>(task.gtid)).barrier;
    txn.run_flags = 0;
    txn.commit_flags = COMMIT_AT_TXN_COMMIT;
    txn.gtid = task.gtid;
    txn.state = GHOST_TXN_READY;
    uint64_t mask = 1;
    ghost_ioc_commit_txn commit = {.mask_ptr = reinterpret_cast<uint64_t>(&mask), .mask_len = sizeof(mask), .flags = 0};
    last_ = machine_.Ioctl(*agent_, ctl_, GHOST_IOC_COMMIT_TXN, &commit);
    return last_;
  }
  std::string Line(int64_t now, const char* what, const Thread& thread, int cpu) {
    return std::to_string(now) + " " + what + " " + std::to_string(thread.tid) + " cpu " + std::to_string(cpu);
  }

  Machine machine_;
  Log log_;
  Process* process_;
  SimCaller* agent_;
  int ctl_ = -1;
  int queue_ = -1;
  Machine::IoctlResult last_;
  Machine::Mapping data_;
  Machine::Mapping words_;
};

TEST_F(MachineTest, ATaskRunsBetweenACommitAndItsBlocking) {
  Thread& task = Task();
  const Machine::IoctlResult commit = CommitLocal(task);
  EXPECT_EQ(log_.Take(), Lines{Line(0, "run", task, 0)});
  machine_.RunFor(500);
  EXPECT_EQ(machine_.Answer(commit.request), std::nullopt);
  machine_.Do(task, Action::Wait());
  machine_.RunFor(0);
  EXPECT_EQ(log_.Take(), Lines{Line(500, "slept", task, 0)});
  EXPECT_EQ(machine_.Answer(commit.request), 0);
  EXPECT_EQ(machine_.Answer(commit.request), std::nullopt);  // once
  EXPECT_EQ(task.runtime_ns, 500u);
  EXPECT_EQ(Word(GHOST_TASK, static_cast<uint64_t>(task.gtid)).runtime, 500u);
}

TEST_F(MachineTest, AMessagePreemptsTheTaskForItsAgent) {
  Thread& task = Task();
  const Machine::IoctlResult commit = CommitLocal(task);
  machine_.RunFor(100);
  Thread& other = Task();  // its TASK_NEW wakes the agent
  EXPECT_EQ(machine_.Answer(commit.request), 0);
  EXPECT_EQ(task.state, Thread::State::kRunnable);
  EXPECT_EQ(task.runtime_ns, 100u);
  EXPECT_NE(other.gtid, 0);
}

TEST_F(MachineTest, WakeUpsBySleepersTimersAndByOthers) {
  Thread& task = Task();
  CommitLocal(task);
  machine_.Do(task, Action::Sleep(300));
  machine_.RunFor(299);
  const uint32_t head = Head();
  EXPECT_EQ(task.state, Thread::State::kSleeping);
  machine_.Wake(task, 1);  // too early for a sleeper: kept for its next Wait
  EXPECT_EQ(task.state, Thread::State::kSleeping);
  machine_.RunFor(1);
  EXPECT_EQ(task.state, Thread::State::kRunnable);
  EXPECT_GT(Head(), head);
  CommitLocal(task);
  machine_.Do(task, Action::Wait());
  machine_.RunFor(10);
  EXPECT_EQ(task.state, Thread::State::kRunning);
  machine_.Do(task, Action::Wait());
  machine_.RunFor(10);
  EXPECT_EQ(task.state, Thread::State::kSleeping);
  machine_.Wake(task, 1);
  EXPECT_EQ(task.state, Thread::State::kRunnable);
}

TEST_F(MachineTest, OrdinaryThreadsGoBeforeTasksAndAfterAgents) {
  Thread& task = Task();
  const Machine::IoctlResult commit = CommitLocal(task);
  machine_.RunFor(10);
  Thread& ordinary = machine_.StartPuppet({.affinity = std::make_shared<const CpuSet>(CpuSet{0})});
  machine_.RunFor(0);
  // The task has left, which woke the agent, which stands above the ordinary thread.
  EXPECT_EQ(task.state, Thread::State::kRunnable);
  EXPECT_EQ(machine_.Answer(commit.request), 0);
  EXPECT_EQ(ordinary.state, Thread::State::kRunnable);
  EXPECT_NE(Word(GHOST_AGENT, 0).flags & GHOST_SW_BOOST_PRIO, 0u);
  ghost_ioc_run yield = {.gtid = GHOST_NULL_GTID,
                         .agent_barrier = Word(GHOST_AGENT, 0).barrier,
                         .task_barrier = 0,
                         .run_cpu = 0,
                         .run_flags = 0};
  EXPECT_TRUE(machine_.Ioctl(*agent_, ctl_, GHOST_IOC_RUN, &yield).pending);
  EXPECT_EQ(ordinary.state, Thread::State::kRunning);
  machine_.RunFor(1000);
  EXPECT_EQ(machine_.threads().RuntimeNs(ordinary), 1000u);
}

TEST_F(MachineTest, OrdinaryThreadsTakeTurns) {
  const Threads::Options on_1{.affinity = std::make_shared<const CpuSet>(CpuSet{1})};
  Thread& a = machine_.StartPuppet(on_1);
  Thread& b = machine_.StartPuppet(on_1);
  machine_.RunFor(10 * FairQueue::kSliceNs);
  EXPECT_EQ(machine_.threads().RuntimeNs(a), static_cast<uint64_t>(5 * FairQueue::kSliceNs));
  EXPECT_EQ(machine_.threads().RuntimeNs(b), static_cast<uint64_t>(5 * FairQueue::kSliceNs));
}

TEST_F(MachineTest, ARunningThreadEntersWhenItIsStoppedAndLeavesRunning) {
  Thread& thread = machine_.StartPuppet();
  machine_.RunFor(100);
  EXPECT_GT(machine_.WriteFile(*agent_, "enclave_1/tasks", std::to_string(thread.tid)), 0);
  EXPECT_EQ(thread.state, Thread::State::kRunning);
  const uint32_t head = Head();
  machine_.RunFor(0);
  EXPECT_EQ(thread.state, Thread::State::kRunnable);
  EXPECT_GT(Head(), head);  // TASK_NEW
  CommitLocal(thread);
  machine_.Do(thread, Action::Depart());
  machine_.RunFor(50);
  EXPECT_EQ(thread.gtid, 0);
  EXPECT_EQ(thread.scheduling_class, Thread::Class::kOrdinary);
  EXPECT_EQ(thread.state, Thread::State::kRunning);
  EXPECT_EQ(machine_.threads().RuntimeNs(thread), 150u);
  EXPECT_EQ(machine_.core().num_tasks(), 0u);
}

// Seed 4228 of mixed.txt under all faults, at ABI 69: the CPU stayed taken, and nothing ran there any more.
TEST_F(MachineTest, ATaskThatDepartsForAnotherCpuLeavesItsOwnFree) {
  Thread& task = Task();
  machine_.SetAffinity(task, CpuSet{1});
  CommitLocal(task);
  machine_.Do(task, Action::Depart());
  Thread& ordinary = machine_.StartPuppet({.affinity = std::make_shared<const CpuSet>(CpuSet{0})});
  machine_.RunFor(0);
  machine_.ExitAgentThread(agent_->tid());  // whoever stands above ordinary threads
  machine_.RunFor(50);
  EXPECT_EQ(task.cpu, 1);
  EXPECT_EQ(task.state, Thread::State::kRunning);
  EXPECT_EQ(ordinary.state, Thread::State::kRunning);
}

TEST_F(MachineTest, ForkedThreadsAreHeldUntilTheyAreScheduled) {
  Thread& task = Task();
  CommitLocal(task);
  machine_.Do(task, Action::Fork(std::make_unique<Puppet>()));
  machine_.RunFor(0);
  Thread& child = *machine_.threads().all().back();
  EXPECT_NE(child.gtid, 0);
  EXPECT_EQ(child.tgid, task.tgid);
  EXPECT_EQ(child.state, Thread::State::kRunnable);
  EXPECT_EQ(machine_.core().num_tasks(), 2u);
  machine_.threads().Exit(child);
  machine_.threads().Exit(task);
  EXPECT_EQ(machine_.core().num_tasks(), 0u);
}

TEST_F(MachineTest, NothingRunsOnACpuThatIsOffline) {
  Thread& task = Task();
  CommitLocal(task);
  Thread& ordinary = machine_.StartPuppet({.affinity = std::make_shared<const CpuSet>(CpuSet{0})});
  machine_.SetOnline(0, false);
  machine_.RunFor(0);
  EXPECT_NE(task.state, Thread::State::kRunning);
  EXPECT_EQ(ordinary.state, Thread::State::kRunning);  // it may run anywhere rather than not at all
  EXPECT_EQ(ordinary.cpu, 1);
}

TEST_F(MachineTest, AKilledProcessTakesItsAgentsAndDescriptorsAlong) {
  const int online = machine_.Open(*agent_, "enclave_1/agent_online", O_RDWR);
  EXPECT_GT(online, 0);
  Thread& task = Task();
  CommitLocal(task);
  machine_.Kill(*process_);
  machine_.RunFor(0);
  EXPECT_EQ(task.state, Thread::State::kRunnable);
  SimCaller& root = machine_.CallerOf(machine_.StartProcess().tgid);
  EXPECT_EQ(machine_.ReadFile(root, "enclave_1/agent_online"), "0");
  EXPECT_FALSE(machine_.core().Cpus()[0].has_agent);
  // … and a destroyed enclave lets its tasks go on as ordinary threads.
  EXPECT_GT(machine_.WriteFile(root, "enclave_1/ctl", "destroy"), 0);
  machine_.RunFor(0);
  EXPECT_EQ(task.scheduling_class, Thread::Class::kOrdinary);
  EXPECT_EQ(task.state, Thread::State::kRunning);
}

TEST_F(MachineTest, AProgramThatTakesNoTimeDoesNotStopTheClock) {
  class Spinner : public Program {
    Action Next(const Thread&, int64_t) override { return Action::Nice(1); }
  };
  machine_.StartThread(std::make_unique<Spinner>());
  machine_.RunFor(10'000);
  EXPECT_EQ(machine_.now_ns(), 10'000);
}

TEST_F(MachineTest, ErrorsOfSystemCalls) {
  EXPECT_EQ(machine_.Open(*agent_, "nowhere", O_RDONLY), -ENOENT);
  EXPECT_EQ(machine_.Open(*agent_, "version/x", O_RDONLY), -ENOTDIR);
  EXPECT_EQ(machine_.Write(*agent_, 999, "x"), -EBADF);
  EXPECT_EQ(machine_.Close(*agent_, 999), -EBADF);
  Process& user = machine_.StartProcess({.uid = 1000, .gid = 1000, .cap_sys_nice = false});
  EXPECT_EQ(machine_.Open(machine_.CallerOf(user.tgid), "enclave_1/ctl", O_WRONLY), -EACCES);
  EXPECT_EQ(machine_.ReadFile(machine_.CallerOf(user.tgid), "version"), "91\n");
}

}  // namespace
}  // namespace ghost::sim
