// What the conformance cases see of a kernel under test: actors that make system calls, and shared memory.
//
// A World is one kernel: the simulation (sim_world.h), or a mounted ghostfs (real_world.h: ghostd's, or a ghost
// kernel's). An Actor is a thread of it. What an actor does is a Call, plain data, so that a puppet can do it as well
// as a real thread; its result is a value: what the system call returned, or -errno. Cases are written with the kit
// (kit.h) that stands on this; none of them knows which kernel it runs on, beyond the Traits.
//
// Addresses in calls point into the scratch memory, which every actor sees at the same place. One thread.
#ifndef GHOST_TESTS_CONFORMANCE_WORLD_H_
#define GHOST_TESTS_CONFORMANCE_WORLD_H_

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"

namespace ghost::conformance {

enum class Op : uint32_t {
  kOpen,         // path, flags -> descriptor
  kClose,        // fd
  kRead,         // fd, address, size, offset
  kWrite,        // fd, address, size
  kIoctl,        // fd, number, address
  kMmap,         // fd, size, prot, flags, offset; unmapped again -> 0
  kPoll,         // fd -> revents
  kBlock,        // sleeps until Actor::Release
  kYield,        // sched_yield
  kNap,          // ns; sleeps that long
  kFork,         // -> pid; World::Child() is the new actor
  kThread,       // -> tid; likewise
  kSetAffinity,  // tid (0: itself), mask of CPUs 0-63
  kSetNice,      // tid, nice
  kSetPolicy,    // tid, policy number
  kPolicy,       // tid -> policy number
  kTimerfd,      // -> descriptor of a CLOCK_MONOTONIC timer
  kTimerfdSet,   // fd, ns from now: timerfd_settime(2)
  kSignal,       // tid, signal number
  kExec,         // goes on as the same actor, in a new program image
  kExit,         // the thread ends
};

struct Call {
  Op op;
  std::array<uint64_t, 6> a = {};
};

class Actor {
 public:
  virtual ~Actor() = default;
  virtual pid_t tid() const = 0;
  virtual pid_t process() const = 0;
  // Begins a call; the one before it must be done.
  virtual void Post(const Call& call) = 0;
  virtual bool Done() = 0;       // the last call has returned
  virtual int64_t result() = 0;  // of it
  // What it does between calls: computes without end, or (as it starts) sleeps.
  virtual void SetSpinning(bool spinning) = 0;
  // Ends the kBlock that it is in, or its next one.
  virtual void Release() = 0;
  virtual bool Asleep() = 0;  // in a call that sleeps, or between calls
  virtual bool Ended() = 0;   // the thread is gone
};

// What differs between kernels, as far as cases care.
struct Traits {
  std::string name;             // "sim", "ghostd", "ghostfs"
  std::string root;             // where ghostfs is
  bool user_mode = false;       // speaks the dialect (kernel/usermode/core/dialect.h)
  bool simulated = false;       // hot plug and other classes' load can be ordered, files have no permission checks
  bool ghost_policy = false;    // tasks' and agents' policy is SCHED_GHOST to Linux
  bool tears_mappings = false;  // a removed enclave's mappings are gone
  int num_cpus = 0;             // possible CPUs
  int nr_cpus = 0;              // CPU numbers from here on are out of range
  int agent_cpus = 0;           // agents can be had on CPUs 0 .. agent_cpus - 1
};

struct FileInfo {
  uint32_t mode = 0;  // type and permission bits
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t size = 0;
};

class World {
 public:
  virtual ~World() = default;
  virtual const Traits& traits() const = 0;

  // The suite's own thread: an ordinary one, with all rights. Its calls are done when Post returns.
  virtual Actor& Self() = 0;
  // A new process with one thread, with copies of the suite's descriptors as they are now. Never null.
  virtual Actor* NewProcess() = 0;
  // What the last kFork or kThread has made.
  virtual Actor* Child() = 0;
  virtual void Kill(Actor& actor, int signal) = 0;

  // Goes on until `done` says so, or until patience is at an end; returns done().
  virtual bool Await(absl::FunctionRef<bool()> done) = 0;
  virtual int64_t NowNs() = 0;

  // Zeroed memory until the case ends; never null.
  virtual void* Scratch(size_t size) = 0;
  // One of Self's descriptors, in the suite's memory; null if it can't be mapped.
  virtual std::byte* Map(int fd, size_t size, bool writable) = 0;
  // Of a path below the root; follows links. nullopt: there is none.
  virtual std::optional<FileInfo> Stat(const std::string& path) = 0;
  virtual std::vector<std::string> List(const std::string& path) = 0;

  // Only where Traits::simulated.
  virtual void SetOnline(int /*cpu*/, bool /*online*/) {}
  virtual void SetOtherClass(int /*cpu*/, bool /*wants_cpu*/, pid_t /*next*/) {}

  // Kills the actors and removes the enclaves that a case has left. Returns what is wrong with the kernel now, or "".
  virtual std::string EndCase() = 0;
};

}  // namespace ghost::conformance

#endif  // GHOST_TESTS_CONFORMANCE_WORLD_H_
