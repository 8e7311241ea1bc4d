// What a simulated thread does: a Program is asked for its next action whenever the last one is done.
//
// Programs are what workload files become (workload_program.h), and what tests write:
//
//     class Worker : public Program { Action Next(const Thread&, int64_t now) override { return Action::Run(1000); } };
//
// A Puppet is a program that a test drives step by step (Machine::Do). Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_PROGRAM_H_
#define GHOST_KERNEL_USERMODE_SIM_PROGRAM_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "kernel/usermode/core/driver.h"
#include "lib/base/cpu_set.h"

namespace ghost::sim {

using usermode::Tid;

struct Thread;
class Program;

struct Action {
  enum class Kind : uint8_t {
    kRun,       // executes for `ns`
    kSleep,     // sleeps for `ns`: a timer (its wake-up is deferrable)
    kWait,      // sleeps until another thread wakes it; a wake-up that came before is not lost (but two are one)
    kWake,      // wakes thread `tid`
    kYield,     // sched_yield
    kFork,      // makes a thread that runs `child`
    kAffinity,  // of thread `tid` (0: its own) to `cpus`
    kNice,      // of thread `tid` (0: its own) to `nice`
    kDepart,    // thread `tid` (0: itself) goes to the ordinary class
    kEnter,     // writes thread `tid` (0: itself) to `enclave`'s tasks file
    kExit,      // ends
  };
  Kind kind = Kind::kExit;
  bool deferrable = true;  // of kWait: it sleeps in a futex, nanosleep or epoll_wait
  int nice = 0;
  Tid tid = 0;
  int64_t ns = 0;
  // Only for the kinds that say so; an action that has none of them costs no allocation.
  std::shared_ptr<const CpuSet> cpus;
  std::unique_ptr<Program> child;
  uint64_t enclave = 0;

  static Action Run(int64_t ns);
  static Action Sleep(int64_t ns);
  static Action Wait(bool deferrable = true);
  static Action Wake(Tid tid);
  static Action Yield();
  static Action Fork(std::unique_ptr<Program> child);
  static Action Affinity(const CpuSet& cpus, Tid tid = 0);
  static Action Nice(int nice, Tid tid = 0);
  static Action Depart(Tid tid = 0);
  static Action Enter(uint64_t enclave, Tid tid = 0);
  static Action Exit();
};

class Program {
 public:
  virtual ~Program() = default;
  // Called while the thread is on a CPU. An action that takes no time is followed by the next call at once.
  virtual Action Next(const Thread& thread, int64_t now_ns) = 0;
};

// Executes for ever, but for the actions that a test gives it.
class Puppet : public Program {
 public:
  void Do(Action action) { actions_.push_back(std::move(action)); }
  // Actions that it has not come to yet.
  size_t pending() const { return actions_.size(); }
  Action Next(const Thread& thread, int64_t now_ns) override;

 private:
  std::deque<Action> actions_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_PROGRAM_H_
