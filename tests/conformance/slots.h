// How the suite and the real threads that are its actors talk: slots in memory that all of them share.
//
// The suite posts a call into an actor's slot; the actor makes it, and stores its result. An actor that is a ghost task
// can be stopped anywhere, so nobody ever waits for one with a lock: the suite only looks. An actor allocates nothing
// and prints nothing for the same reason.
#ifndef GHOST_TESTS_CONFORMANCE_SLOTS_H_
#define GHOST_TESTS_CONFORMANCE_SLOTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "lib/base/file.h"
#include "tests/conformance/world.h"

namespace ghost::conformance {

struct Slot {
  std::atomic<int32_t> tid = 0;  // 0: it has not run yet
  std::atomic<uint32_t> posted = 0;
  std::atomic<uint32_t> finished = 0;  // == posted: the call has returned
  std::atomic<uint32_t> spinning = 0;
  std::atomic<uint32_t> bell = 0;    // a futex: +1 with each change of the ones above
  std::atomic<uint32_t> gate = 0;    // a futex: releases so far
  std::atomic<uint32_t> passed = 0;  // kBlocks that have ended
  std::atomic<int64_t> result = 0;
  Call call = {};
};

class SharedMemory {
 public:
  static constexpr uint32_t kMaxSlots = 512;                 // actors of one case
  static constexpr size_t kScratchSize = size_t{256} << 20;  // of one case; only what is used is ever touched

  // New, or (in an actor that has exec'ed) another one's, at its address.
  SharedMemory();
  SharedMemory(int fd, void* address);
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  int fd() const { return fd_.get(); }
  void* address() const { return memory_; }
  Slot& slot(uint32_t index) { return memory_->slots[index]; }
  std::byte* scratch() { return memory_->scratch; }

 private:
  struct Memory {
    Slot slots[kMaxSlots];
    alignas(4096) std::byte scratch[kScratchSize];
  };

  void MapAt(void* address);

  ScopedFd fd_;
  Memory* memory_ = nullptr;
};

// Makes a call in the calling thread, whose slot is `self` (null for the suite's own thread, which neither blocks nor
// forks). Returns its result or -errno.
int64_t Perform(const Call& call, SharedMemory& memory, Slot* self);

// Serves a slot until kExit.
[[noreturn]] void ActorMain(SharedMemory& memory, uint32_t index);

// The command line with which an actor execs itself: `conformance --actor SLOT FD ADDRESS`. True if argv is one: it
// does not return then.
void MaybeActorMain(int argc, char** argv);

}  // namespace ghost::conformance

#endif  // GHOST_TESTS_CONFORMANCE_SLOTS_H_
