// Random events, requests and corruption of all shared memory, with the invariants checked at every step.
//
// What happens next is drawn from a source of numbers: a random generator (random_test), or a fuzzer's input
// (tests/fuzz). Reports come late (they cross the core's requests, as a real driver's do); ChaosDriver panics if the
// core breaks the contract of driver.h. At the end everything is destroyed: no task may stay held, no region allocated.
#ifndef GHOST_KERNEL_USERMODE_CORE_CHAOS_H_
#define GHOST_KERNEL_USERMODE_CORE_CHAOS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/chaos_driver.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/fake_driver.h"

namespace ghost::usermode {

// A caller whose memory is a small array: every other address is a bad one.
class ChaosCaller : public FakeCaller {
 public:
  static constexpr uint64_t kBase = 0x10000;
  using Memory = std::array<std::byte, 256>;

  ChaosCaller(Tid tid, Tid tgid, Memory* memory) : FakeCaller(tid, tgid), memory_(memory) {}

  bool ReadMemory(uint64_t address, std::span<std::byte> out) override;
  bool WriteMemory(uint64_t address, std::span<const std::byte> data) override;

 private:
  std::byte* Find(uint64_t address, size_t size) const;

  Memory* memory_;
};

class Chaos {
 public:
  // source(limit) is a number below `limit`; source(0) any.
  using Source = std::function<uint32_t(uint32_t limit)>;
  // programs: with BPF programs of no sense.
  Chaos(Source source, bool programs);

  void Step();
  // What Step never does: a control file with this text, an ioctl of this number with these bytes. By root, or by an
  // agent of the source's choice.
  void WriteText(const std::string& path, const std::string& text);
  void RawIoctl(uint32_t command, std::span<std::byte> argument);
  void End();

 private:
  struct AgentState {
    ChaosCaller caller;
    uint64_t enclave;
    int cpu;
    uint64_t request = 0;
    bool pending = false;
  };
  static CoreOptions Options();
  uint32_t Random(uint32_t limit) { return source_(limit); }
  bool OneIn(uint32_t n) { return Random(n) == 0; }
  uint64_t EnclaveId() { return 1 + Random(3); }

  // Puts the value where callers can point to it; returns the address.
  template <typename T>
  uint64_t Place(const T& value);
  int64_t Write(const std::string& path, const std::string& text, Caller& caller);
  template <typename Argument>
  IoctlResult Ioctl(uint64_t enclave, unsigned long command, Argument argument, Caller& caller, uint64_t request = 0);
  int64_t Node(const std::string& path);

  void ControlFiles();
  void BecomeAgent();
  void QueueIoctls();
  void RunAgents();
  uint32_t BarrierOf(uint64_t enclave, uint32_t type, uint64_t arg);
  void FillTransaction(ghost_txn& txn, uint64_t enclave, int cpu);
  void FillTransactions();
  void ThreadEvents();
  void MachineEvents();
  void Corrupt();
  void Deliver();
  int64_t AnyGtid();
  AgentState* AnyAgent();
  void AgentEnds(Tid tid);
  void Report(int64_t gtid, ChaosDriver::Life life, std::function<void()> report);

  const Source source_;
  const bool programs_;
  ChaosCaller::Memory memory_ = {};  // of all callers
  ChaosDriver driver_;
  Core core_;
  ChaosCaller root_;
  std::map<Tid, AgentState> agents_;
  std::deque<std::function<void()>> reports_;
  std::map<uint64_t, std::pair<std::byte*, size_t>> regions_;
  Tid next_tid_ = 1000;
  uint64_t next_request_ = 1;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_CORE_CHAOS_H_
