// A core over the fake driver, with files by path and agents that read queues and fill transactions. For tests.
//
//     Harness harness({.num_cpus = 2});
//     harness.MakeEnclave(1, "0-1");                                  // with sw_0
//     TestAgent agent(&harness, 1, /*cpu=*/0, /*tid=*/7);
//     int64_t gtid = harness.Enter(1, 100);                           // held: TASK_NEW
//     EXPECT_THAT(agent.Drain(), ElementsAre("NEW 100 seq=1 runnable=1"));
//     agent.CommitLocal(gtid);                                        // parks the agent; the task runs
//     harness.core.OnTaskBlocked(gtid);                               // … and the agent is back
#ifndef GHOST_KERNEL_USERMODE_CORE_CORE_HARNESS_H_
#define GHOST_KERNEL_USERMODE_CORE_CORE_HARNESS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/abi/message.h"
#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/fake_driver.h"

namespace ghost::usermode {

class Harness {
  const std::unique_ptr<FakeDriver> owned_;

 public:
  static CoreOptions Defaults() { return {.num_cpus = 4, .abi_versions = {69, 75, 84, 91}}; }
  explicit Harness(const CoreOptions& options = Defaults(),
                   std::unique_ptr<FakeDriver> fake = std::make_unique<FakeDriver>())
      : owned_(std::move(fake)), driver(*owned_), core(options, &driver), root(1, 1) {}
  // Checks that all is consistent at the end.
  ~Harness() { core.CheckInvariants(); }

  // Files by path ("enclave_1/ctl", "" is the root). Negative results are -errno.
  int64_t Node(std::string_view path);
  int64_t Open(std::string_view path, int flags);
  std::string Read(std::string_view path);  // "-13" if it can't be opened or read
  int64_t Write(std::string_view path, std::string_view text, Caller* caller = nullptr);
  std::vector<std::string> List(std::string_view path);

  void MakeEnclave(uint64_t id, std::string_view cpus, uint32_t abi = 91);
  // An ioctl on a ctl that is open for writing; *pending, if given, says whether the answer is still to come.
  template <typename Argument>
  int64_t Ioctl(uint64_t enclave, unsigned long command, Argument* argument, Caller& caller, uint64_t request = 0,
                bool* pending = nullptr) {
    return IoctlBytes(enclave, command, std::as_writable_bytes(std::span(argument, 1)), caller, request, pending);
  }
  int64_t IoctlBytes(uint64_t enclave, unsigned long command, std::span<std::byte> argument, Caller& caller,
                     uint64_t request, bool* pending);

  // Thread `tid` enters the enclave, and is held at once: its TASK_NEW is there. Returns its gtid, or -errno.
  int64_t Enter(uint64_t enclave, Tid tid);
  int64_t GtidOf(Tid tid, uint64_t enclave = 1);
  ghost_txn* Txn(uint64_t enclave, int cpu);
  ghost_status_word* Word(uint64_t enclave, const ghost_sw_info& info);

  FakeDriver& driver;
  Core core;
  FakeCaller root;
  uint64_t next_request = 1;
};

// A message in few words, the task by its tid: "BLOCKED 100 seq=2 cpu=0 cpu_seq=4".
std::string Brief(const Message& message);

// Reads a queue's messages, as a consumer does.
class TestQueue {
 public:
  // Through enclave `enclave`'s ctl; the caller's descriptor `fd` is it from then on.
  TestQueue(Harness* harness, uint64_t enclave, FakeCaller* caller, int fd, int elems = 1024);
  // All messages that are there; NOPs are skipped.
  std::vector<Message> Take(uint32_t abi);
  uint32_t overflow() const { return ring_->overflow; }
  ghost_ring* ring() { return ring_; }
  int id() const { return id_; }
  uint64_t region() const { return region_; }

 private:
  int id_ = 0;
  uint64_t region_ = 0;
  std::byte* memory_ = nullptr;
  ghost_ring* ring_ = nullptr;
  uint32_t elems_ = 0;
};

// The agent of one CPU, with a queue whose messages wake it.
class TestAgent {
 public:
  static constexpr int kQueueFd = 5;

  // `tgid` 0: its tid. The first agent's queue becomes the enclave's default one.
  TestAgent(Harness* harness, uint64_t enclave, int cpu, Tid tid, uint32_t abi = 91, Tid tgid = 0);

  // The messages since the last call, as Brief gives them.
  std::vector<std::string> Drain();
  std::vector<Message> Take() { return queue.Take(abi_); }

  uint32_t barrier() const;  // as its status word shows it
  uint32_t flags() const;
  // Fills the CPU's transaction and makes it ready. The task's barrier is taken from its word.
  ghost_txn* Prepare(int cpu, int64_t gtid, uint8_t commit_flags = COMMIT_AT_TXN_COMMIT, uint16_t run_flags = 0);
  // COMMIT_TXN (or SYNC_GROUP_TXN) for these CPUs; remembers the request if it is pending.
  int64_t Commit(const CpuSet& cpus, bool group = false);
  // Prepare and Commit on the own CPU, or on another one; returns the transaction's state.
  int32_t CommitLocal(int64_t gtid, uint16_t run_flags = 0);
  int32_t CommitRemote(int cpu, int64_t gtid, uint8_t commit_flags = COMMIT_AT_TXN_COMMIT, uint16_t run_flags = 0);
  int64_t Yield(int run_flags = 0);
  int64_t Ping(int cpu);
  // True while its last RUN or commit has not been answered.
  bool parked() const;
  uint64_t request() const { return request_; }
  int64_t result() const { return harness_->driver.completed.at(request_); }

  FakeCaller caller;
  TestQueue queue;

 private:
  Harness* const harness_;
  const uint64_t enclave_;
  const int cpu_;
  const uint32_t abi_;
  ghost_status_word* word_ = nullptr;
  uint64_t request_ = 0;
  bool pending_ = false;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_CORE_HARNESS_H_
