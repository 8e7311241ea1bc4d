// What a hostile agent stands on: an enclave of its own with its memory mapped, for writing where the kernel does not
// expect it, and one thread a CPU that really schedules, so that attacks hit words in use.
//
// The scheduling is as plain as can be, and minds no garbage: messages only wake it; which task may run it reads off
// the status words. What it is not: an example of an agent (schedulers/ has those).
//
// Threads: the main thread sets up and attacks; Hammer and the agents add more. Ends with the process.
#ifndef GHOST_TESTS_HOSTILE_STAGE_H_
#define GHOST_TESTS_HOSTILE_STAGE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernel/ghost_uapi.h"
#include "lib/base/cpu_set.h"
#include "lib/kernel.h"
#include "tests/hostile/noise.h"

namespace ghost::hostile {

// Ends the program with exit status 1 and `what` (and errno, if not 0) unless `ok`.
void Require(bool ok, const std::string& what);

class Stage {
 public:
  struct Options {
    CpuSet cpus;
    int queue_elems = 1024;
    bool drain = true;       // take messages
    bool only_wait = false;  // agents that wait for messages, and do nothing about them
    std::string attach;      // an enclave that is there already; empty: a new one
    std::string die_at;      // the step (see Step) at which the process kills itself
  };

  explicit Stage(Options options) : options_(std::move(options)) {}
  // Returns once every agent runs.
  void SetUp();

  Kernel& kernel() { return *kernel_; }
  KernelEnclave& enclave() { return *enclave_; }
  const CpuSet& cpus() const { return options_.cpus; }
  int ctl() const { return ctl_; }  // of the enclave, open for writing
  ghost_txn& txn(int cpu) { return cpu_data_[cpu].txn; }
  int num_cpu_data() const { return static_cast<int>(cpu_data_region_.size / sizeof(ghost_cpu_data)); }
  std::byte* queue_memory() { return queue_.region.data; }
  size_t queue_size() const { return queue_.region.size; }
  ghost_queue_header* queue_header() { return reinterpret_cast<ghost_queue_header*>(queue_.region.data); }
  ghost_ring* ring() { return reinterpret_cast<ghost_ring*>(queue_.region.data + sizeof(ghost_queue_header)); }
  KernelQueue& queue() { return queue_; }
  ghost_sw_region_header* words_header() { return words_; }
  // The first kWords of region 0: as many as any test has tasks.
  static constexpr int kWords = 2048;
  ghost_status_word* words() { return reinterpret_cast<ghost_status_word*>(words_ + 1); }

  // -- What agents do --
  int Ioctl(unsigned long number, void* argument) { return enclave_->Ioctl(number, argument); }
  void BecomeAgent(int cpu);
  uint32_t AgentBarrier(int cpu) const;
  // Some task's word that says "runnable, not on a CPU", or null. Each call goes on where the last one ended.
  const ghost_status_word* NextRunnable();
  // Fills the CPU's transaction and opens it.
  void Open(int cpu, int64_t gtid, uint32_t task_barrier, uint8_t commit_flags = COMMIT_AT_TXN_COMMIT,
            uint16_t run_flags = 0);
  // COMMIT_TXN (or the sync group's) for the CPUs of a 64-bit mask. >= 0 or -errno.
  int Commit(uint64_t mask, unsigned long number = GHOST_IOC_COMMIT_TXN);
  int Run(int cpu, int64_t gtid, uint32_t agent_barrier, int flags = 0);
  // One decision on `cpu`, by its agent.
  void ScheduleOnce(int cpu);
  int32_t state(int cpu) { return __atomic_load_n(&txn(cpu).state, __ATOMIC_ACQUIRE); }

  // Calls `blow(noise)` over and over on a thread of its own until the process ends; returns after `rounds` of them.
  void Hammer(uint64_t rounds, std::function<void(Noise&)> blow);
  pid_t agent_tid(int cpu) const { return agent_tids_[static_cast<size_t>(cpu)]; }
  // Its agents stop scheduling and keep their CPUs; returns when they do.
  void Spin();
  // Waits until the agents have made `count` more decisions.
  void AwaitDecisions(uint64_t count);

  // A named step of start-up: the process may have been told to die here.
  void Step(const char* name);

 private:
  void OpenEnclave();
  void MapMemory();
  void StartAgents();

  const Options options_;
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<KernelEnclave> enclave_;
  int ctl_ = -1;
  Region cpu_data_region_;
  ghost_cpu_data* cpu_data_ = nullptr;
  ghost_sw_region_header* words_ = nullptr;
  KernelQueue queue_;
  std::vector<uint32_t> agent_words_;  // index by CPU
  std::vector<pid_t> agent_tids_;
  std::atomic<bool> spin_{false};
  std::atomic<int> agents_spinning_{0};
  std::atomic<int> agents_running_{0};
  std::atomic<uint64_t> decisions_{0};
  std::atomic<uint32_t> next_word_{0};
};

// An attack, by name.
struct Attack {
  const char* name;
  const char* what;
  void (*run)(Stage& stage);  // null: dying at a step, or doing nothing, is all
  Stage::Options options = {};
};
extern const std::vector<Attack> kMemoryAttacks;    // memory_attacks.cc
extern const std::vector<Attack> kProtocolAttacks;  // protocol_attacks.cc
extern const std::vector<Attack> kLimitAttacks;     // limit_attacks.cc
extern const std::vector<Attack> kBpfAttacks;       // bpf_attacks.cc

}  // namespace ghost::hostile

#endif  // GHOST_TESTS_HOSTILE_STAGE_H_
