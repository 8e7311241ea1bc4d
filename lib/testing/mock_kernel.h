// MockKernel: a kernel behind the port for unit tests and benchmarks, in this process's memory.
//
// It keeps queues, status words and transactions as a kernel does, posts messages that a test asks for (barriers and
// all), and answers ioctls: by a few simple rules, or as the test says. Every call through the port is counted. What it
// is not: a simulation. It schedules nothing and has no time; a committed task runs until the test posts that it left.
//
//     MockKernel kernel(/*cpus=*/4);
//     auto enclave = Enclave::Create(&kernel, CpuSet::FirstN(2)).value();
//     MockEnclave& mock = *kernel.enclave();
//     mock.AddTask(MockGtid(100)); mock.Post(TaskNew{…}) …
//
// Threads: a test's threads may use it at once (one lock); references into shared memory are the caller's business.
#ifndef GHOST_LIB_TESTING_MOCK_KERNEL_H_
#define GHOST_LIB_TESTING_MOCK_KERNEL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kernel/abi/message.h"
#include "kernel/ghost_uapi.h"
#include "lib/base/cpu_set.h"
#include "lib/kernel.h"

namespace ghost {

// The gtid of thread `tid`, in a kernel's layout.
constexpr int64_t MockGtid(int tid, int64_t sequence = 1) { return (int64_t{tid} << 41) | sequence; }

// A queue in this process's memory, with a kernel's way of filling it.
class MockQueue {
 public:
  explicit MockQueue(int elems);
  KernelQueue Handle(int fd);
  ghost_ring& ring() { return *ring_; }
  std::byte* slots() { return slots_; }
  uint32_t num_elements() const { return elems_; }
  // False: no room; counted in the ring's overflow.
  bool Produce(std::span<const std::byte> message);

 private:
  uint32_t elems_;
  size_t size_;
  std::shared_ptr<std::byte> memory_;
  ghost_ring* ring_;
  std::byte* slots_;
};

class MockEnclave : public KernelEnclave {
 public:
  static constexpr uint32_t kCapacity = 4096;

  // `capacity`: how many status words it has.
  MockEnclave(int num_cpus, const CpuSet& cpus, const AbiVersion* abi, uint32_t capacity = kCapacity);

  // -- What a test does and sees --

  // A task enters: a status word, and the default queue for its messages.
  void AddTask(int64_t gtid, bool runnable = true);
  // Posts a message of this task or cpu: barriers go up, its flags follow, the agent is woken. False: the queue was
  // full.
  bool Post(const Payload& payload);
  bool PostNew(int64_t gtid, bool runnable = true, int nice = 0);
  void PostDead(int64_t gtid);
  // An agent's thread has ended.
  void RemoveAgent(int cpu);
  // Only the barrier, as when a message is lost.
  void BumpBarrier(int64_t gtid);
  void SetFlag(int64_t gtid, uint32_t flag, bool on);
  void SetBoost(int cpu, bool on);
  // Whether another class has the CPU, as its agent's status word says.
  void SetAvailable(int cpu, bool on);
  // Commits are of other CPUs than the caller's: agents' barriers do not count, and what is not to be committed by the
  // call waits for CommitLater.
  bool remote_commits = false;
  // As that CPU does when it next can.
  void CommitLater(int cpu);
  void SetAffinity(int64_t gtid, const CpuSet& cpus);
  ghost_status_word& task_word(int64_t gtid);
  ghost_status_word& agent_word(int cpu);
  ghost_txn& txn(int cpu) { return cpu_data()[cpu].txn; }
  MockQueue& queue(int fd) { return *queues_.at(fd); }
  int queue_of_task(int64_t gtid);  // fd
  int queue_of_agent(int cpu);
  int num_cpus() const { return num_cpus_; }
  int default_queue() const { return default_queue_; }
  bool HasTask(int64_t gtid);

  // Calls through the port, by what they were.
  struct Calls {
    int commits = 0, sync_commits = 0, yields = 0, pings = 0, associates = 0, frees = 0, others = 0;
    int Total() const { return commits + sync_commits + yields + pings + associates + frees + others; }
  };
  const Calls& calls() const { return calls_; }
  void ResetCalls() { calls_ = Calls(); }
  int last_yield_flags() const { return last_yield_flags_; }
  std::vector<int> pinged() const { return pinged_; }
  // Whose agent messages of the queue wake; -1: nobody's.
  int wakeup_of(int fd) const { return wakeups_.count(fd) == 0 ? -1 : wakeups_.at(fd); }
  // The timer that was set last.
  struct Timer {
    int cpu = -1;
    int64_t when_ns = 0;
  };
  Timer timer() const { return timer_; }

  // Asked before an ioctl is done: a value is its answer instead.
  std::function<std::optional<int>(unsigned long number, void* argument)> on_ioctl;
  // Asked for each open transaction of a commit: its final state; nullopt: by the rules (barriers, runnable).
  std::function<std::optional<int32_t>(int cpu, const ghost_txn& txn)> on_commit;

  // -- KernelEnclave --
  uint64_t id() const override { return 1; }
  const std::string& directory() const override { return directory_; }
  const AbiVersion& abi() const override { return *abi_; }
  absl::StatusOr<std::string> ReadFile(absl::string_view name) override;
  absl::Status WriteFile(absl::string_view name, absl::string_view text) override;
  absl::StatusOr<Region> MapCpuData() override;
  absl::Status CreateStatusWords(uint32_t region_id, int numa_node) override;
  absl::StatusOr<Region> MapStatusWords(uint32_t region_id) override;
  absl::StatusOr<KernelQueue> CreateQueue(int elems, int numa_node) override;
  absl::StatusOr<KernelTimer> CreateTimer() override;
  int Ioctl(unsigned long number, void* argument) override;
  int BecomeAgent(int cpu, int queue_fd) override;
  absl::Status AdvertiseOnline() override;
  void WithdrawOnline() override;
  absl::Status WaitAgentOnline(bool online, absl::Duration timeout) override;
  absl::StatusOr<CpuSet> TaskAffinity(int64_t gtid) override;
  absl::StatusOr<int64_t> TaskGtid(pid_t tid) override;

 private:
  struct TaskState {
    uint32_t word = 0;
    int queue = -1;
    CpuSet affinity;
    bool new_sent = false;
  };
  struct AgentState {
    uint32_t word = 0;
    int queue = -1;
  };

  ghost_cpu_data* cpu_data() { return reinterpret_cast<ghost_cpu_data*>(cpu_data_.data); }
  ghost_status_word* words();
  uint32_t AllocateWord(int64_t gtid, uint32_t flags);
  bool PostLocked(const Payload& payload);
  void ApplyFlags(ghost_status_word& word, const Payload& payload);
  void WakeAgentOf(int queue);
  int DoIoctl(unsigned long number, void* argument);
  int Commit(const ghost_ioc_commit_txn& argument, bool sync);
  int32_t CommitOne(int cpu);
  void SetAgentFlag(int cpu, uint32_t flag, bool on);
  int Run(const ghost_ioc_run& argument);
  int Associate(const ghost_ioc_assoc_queue& argument);
  int GetInfo(ghost_ioc_sw_get_info& argument);
  int FreeWord(const ghost_sw_info& info);

  std::mutex mutex_;
  const std::string directory_ = "mock/enclave_1";
  const AbiVersion* abi_;
  const int num_cpus_;
  const CpuSet cpus_;
  const uint32_t capacity_;
  Region cpu_data_;
  Region words_;
  uint32_t next_word_ = 0;
  std::map<int, std::unique_ptr<MockQueue>> queues_;  // by fd
  std::map<int, int> wakeups_;                        // fd -> cpu
  std::map<int64_t, TaskState> tasks_;
  std::map<int, AgentState> agents_;  // by cpu
  int default_queue_ = -1;
  int next_fd_ = 100;
  bool online_ = false;
  std::map<std::string, std::string> files_;
  Calls calls_;
  int last_yield_flags_ = 0;
  std::vector<int> pinged_;
  Timer timer_;
};

class MockKernel : public Kernel {
 public:
  explicit MockKernel(int num_cpus, uint32_t abi = kNewestAbi);

  const std::string& root() const override { return root_; }
  bool user_mode() const override { return true; }
  const std::vector<uint32_t>& versions() const override { return versions_; }
  const AbiVersion& abi() const override { return *FindAbi(versions_[0]); }
  absl::StatusOr<int> PossibleCpus() override { return num_cpus_; }
  absl::StatusOr<std::vector<EnclaveInfo>> ListEnclaves() override;
  absl::StatusOr<std::unique_ptr<KernelEnclave>> CreateEnclave(const CpuSet& cpus) override;
  absl::StatusOr<std::unique_ptr<KernelEnclave>> AttachEnclave(absl::string_view directory) override;

  // The enclave that was created last; it lives as long as the Enclave that holds it.
  MockEnclave* enclave() { return enclave_; }

 protected:
  virtual std::unique_ptr<MockEnclave> MakeEnclave(int num_cpus, const CpuSet& cpus);

 private:
  const std::string root_ = "mock";
  const int num_cpus_;
  const std::vector<uint32_t> versions_;
  MockEnclave* enclave_ = nullptr;
};

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_MOCK_KERNEL_H_
