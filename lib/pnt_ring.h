// PntRing: the agent's side of the PNT rings (third_party/bpf/pnt_ring.h): waiting tasks that CPUs take by themselves
// when they would idle, while the global agent is busy elsewhere.
//
//     ring.Begin();
//     for each waiting task, first come first: if (!ring.Offer(task)) break;
//     ring.End();                                      // the rings hold these now, and no others
//     …
//     ring.Reap([&](TaskBase* task, const PntRing::Take& take) { … it runs there … });
//
// A task in a ring still stands in its policy's queue: nothing changes for the policy. Before the agent gives such a
// task a CPU it takes it back (TakeBack), which fails if a CPU was faster: then Reap tells, now or soon. When a message
// says that a task has left its CPU, blocked, died, …, Resolve says whether a CPU had taken it.
//
// A slot says where its task may run. If the task's affinity changes, a message comes, so that the barrier in the slot
// is old, and the kernel refuses it. What changes without a message (the global agent's CPU) is the runtime's to see:
// it takes the task back.
//
// What it is not: it knows no messages, no CPUs' states and no policy; lib/centralized_ring.inc.h does. PntPrograms is
// what runs on the other side.
//
// Threads: the global agent's; programs run beside it. No allocation but in the constructor, no lock; nobody waits.
#ifndef GHOST_LIB_PNT_RING_H_
#define GHOST_LIB_PNT_RING_H_

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/counter.h"
#include "lib/base/cpu_set.h"
#include "lib/base/shared_word.h"
#include "lib/task.h"
#include "lib/topology.h"
#include "third_party/bpf/pnt_ring.h"

namespace ghost {

class Enclave;

// The programs that take tasks from the rings, and the memory that they share with the agent.
class PntPrograms {
 public:
  virtual ~PntPrograms() = default;  // detaches
  // While an older agent may still schedule.
  virtual absl::Status Load(Enclave& enclave) = 0;
  // Once that has left.
  virtual absl::Status Attach(Enclave& enclave) = 0;
  virtual void Detach() = 0;
  virtual pnt* memory() = 0;  // once they are loaded; zeroed then
};

// One side's access to a slot, and nothing else: what tests/interleaving tries in all orders.
class PntSlot {
 public:
  explicit PntSlot(pnt_slot* slot) : slot_(*slot) {}
  uint64_t word() const { return LoadShared<Order::kAcquire>(slot_.word); }
  // EMPTY to READY. False: it is not quite EMPTY yet, as a program has come too late for what was there.
  bool Publish(int64_t gtid, uint32_t barrier, uint32_t order, std::span<const uint64_t> cpus) {
    for (size_t i = 0; i < cpus.size(); ++i) StoreShared<Order::kRelaxed>(slot_.cpus[i], __u64{cpus[i]});
    PutShared(slot_.gtid, static_cast<__s64>(gtid));
    PutShared(slot_.barrier, static_cast<__u32>(barrier));
    __u64 expected = PNT_EMPTY;
    return ExchangeShared(slot_.word, &expected, static_cast<__u64>(PNT_WORD(PNT_READY, 0, order)));
  }
  // READY with `order` to EMPTY. False: a CPU was faster.
  bool Revoke(uint32_t order) { return Replace(order, PNT_EMPTY); }
  // READY with another order. False: a CPU was faster.
  bool Reorder(uint32_t order, uint32_t to) { return Replace(order, PNT_WORD(PNT_READY, 0, to)); }
  // LATCHED or FAILED to EMPTY: no program has its hands on it then.
  void Free() { StoreShared<Order::kRelaxed>(slot_.word, static_cast<__u64>(PNT_EMPTY)); }

 private:
  bool Replace(uint32_t order, uint64_t by) {
    __u64 expected = PNT_WORD(PNT_READY, 0, order);
    return ExchangeShared(slot_.word, &expected, static_cast<__u64>(by));
  }
  pnt_slot& slot_;
};

class PntRing {
 public:
  // `cpus`: the enclave's; the topology has them.
  PntRing(pnt* memory, const CpuSet& cpus, const Topology& topology);

  // From now on programs take what is offered, on all CPUs but that of the global agent and its heir's (-1: none).
  void Activate(int global_cpu) {
    SetTakers(global_cpu, -1);
    StoreShared<Order::kRelease>(memory_.active, __u32{1});
  }
  void Deactivate() { StoreShared<Order::kRelease>(memory_.active, __u32{0}); }
  void SetTakers(int global_cpu, int heir);

  // -- Offering --
  void Begin();
  // False: no more are wanted. A task that cannot be offered is passed over.
  bool Offer(TaskBase* task);
  void End();

  // -- Taking back. A task with in_ring() only --
  // The task is the agent's again. False: a CPU has claimed it; Reap will tell what came of that.
  bool TakeBack(TaskBase* task);
  // A task of which a message says that it is off every CPU: whether a CPU had taken it before that, and which (-1:
  // unknown). It is out of the ring.
  bool Resolve(TaskBase* task, int* cpu);

  // -- What came of it --
  struct Take {
    int cpu;
    bool latest;  // no other has been taken there since, nor been given it by the agent
  };
  // Calls taken(task, take) for each task that a CPU has taken; those that it failed to latch are out of the ring.
  // True: there were any of either.
  template <typename Taken>
  bool Reap(Taken taken) {
    bool any = false;
    for (int ring = 0; ring < num_rings_; ++ring) {
      for (uint64_t slots = used_[ring]; slots != 0; slots &= slots - 1) {
        const int number = ring * PNT_SLOTS + __builtin_ctzll(slots);
        const uint64_t word = At(number).word();
        if (PNT_STATUS(word) != PNT_LATCHED && PNT_STATUS(word) != PNT_FAILED) continue;
        any = true;
        TaskBase* task = Empty(number);
        if (PNT_STATUS(word) == PNT_FAILED) {
          failed_.Add(1);
          continue;
        }
        const Take take = NoteTake(word);
        if (task != nullptr) taken(task, take);
      }
    }
    return any;
  }
  // The agent has put a task in the place of another on this CPU: what was taken there before is over.
  void NoteGiven(int cpu) { last_take_[static_cast<size_t>(cpu)] = Takes(cpu); }
  // Whether a CPU has taken a task that Reap has not told of.
  bool HasTaken(int cpu) const { return Takes(cpu) != last_take_[static_cast<size_t>(cpu)]; }
  void NoteLatchFailure() { failed_.Add(1); }

  uint64_t published() const { return static_cast<uint64_t>(published_.value()); }
  uint64_t taken() const { return static_cast<uint64_t>(taken_.value()); }
  uint64_t revoked() const { return static_cast<uint64_t>(revoked_.value()); }
  uint64_t failed() const { return static_cast<uint64_t>(failed_.value()); }

 private:
  // What the agent knows of a slot that is not empty.
  struct Kept {
    TaskBase* task = nullptr;  // null: a message has told of it while a CPU had it claimed
    uint32_t barrier = 0;
    uint32_t order = 0;
    bool wanted = false;
  };
  struct Wanted {
    std::array<TaskBase*, PNT_SLOTS> tasks;
    int count = 0;
  };

  PntSlot At(int number) { return PntSlot(&memory_.rings[number / PNT_SLOTS].slots[number % PNT_SLOTS]); }
  uint32_t Takes(int cpu) const { return LoadShared<Order::kAcquire>(memory_.cpus[cpu].takes); }
  int RingFor(const TaskBase& task) const;
  bool Revoke(int number);
  TaskBase* Forget(int number);
  TaskBase* Empty(int number);  // … whose word is LATCHED or FAILED
  Take NoteTake(uint64_t word);
  void PutInOrder(int ring);
  void PublishAt(int ring, TaskBase* task, uint32_t order);

  pnt& memory_;
  const CpuSet cpus_;
  int num_rings_ = 0;
  std::array<CpuSet, PNT_RINGS> ring_cpus_;
  std::array<uint64_t, PNT_RINGS> used_ = {};        // slots, by ring
  std::array<uint32_t, PNT_RINGS> last_order_ = {};  // the highest there has been
  std::vector<uint32_t> last_take_;                  // by cpu: the number of the last one that was told of
  std::vector<int> ring_of_;                         // by cpu; -1: none
  std::vector<Kept> kept_;                           // by slot
  std::array<Wanted, PNT_RINGS> wanted_;
  int looked_at_ = 0;  // since Begin
  int room_ = 0;
  Counter published_, taken_, revoked_, failed_;
};

}  // namespace ghost

#endif  // GHOST_LIB_PNT_RING_H_
