// Mailbox: where a dispatcher leaves requests for one worker, which takes all of them, does them, and says so.
//
//     dispatcher: if (box.IsEmpty()) { fill box.requests(); box.Put(count); }
//     worker:     while (box.Wait(how)) { for (Request& request : box.taken()) …; box.Done(); }
//
// It is the dispatcher's while it is empty, and the worker's from Put to Done. One word says whose it is, and whether
// the worker sleeps: a worker that is about to sleep finds what was put just before, and Put makes a system call only
// if it does sleep. One dispatcher and one worker.
#ifndef GHOST_EXPERIMENTS_ROCKSDB_MAILBOX_H_
#define GHOST_EXPERIMENTS_ROCKSDB_MAILBOX_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "experiments/rocksdb/request.h"

namespace ghost {

class alignas(64) Mailbox {
 public:
  // How a worker waits for requests.
  enum class Waiting {
    kSpin,    // never gives its CPU away
    kYield,   // offers it to others in each turn: for CPUs that it shares
    kHinted,  // as kYield, for a worker whom a scheduler that reads hints keeps off the CPU while it has none. One who
              // still finds itself running after a while has another scheduler, and sleeps
    kSleep,
  };

  // Until the worker's first Done nothing can be put.
  explicit Mailbox(int batch) : requests_(static_cast<size_t>(batch)) {}

  // -- The dispatcher's --
  bool IsEmpty() const {
    const uint32_t state = state_.load(std::memory_order_acquire);
    return state == kEmpty || state == kSleeping;
  }
  // Room for a batch, to be filled while it is empty.
  std::vector<Request>& requests() { return requests_; }
  // The first `count` of them are the worker's now.
  void Put(int count);
  // The worker's Wait returns false from now on. False: it is not empty yet, so that it can't be closed.
  bool Close();

  // -- The worker's --
  // Waits for requests. False: the dispatcher has closed it.
  bool Wait(Waiting waiting);
  // What Put has left there.
  std::span<Request> taken() { return {requests_.data(), static_cast<size_t>(count_)}; }
  void Done() { state_.store(kEmpty, std::memory_order_release); }

 private:
  enum State : uint32_t {
    kNotReady,  // the worker has not begun
    kEmpty,
    kSleeping,  // empty, and the worker sleeps or is about to
    kFull,
    kClosed,
  };

  void Set(State state);
  void SpinUntilFull(Waiting waiting);
  void SleepUntilFull();
  bool IsFullOrClosed() const { return state_.load(std::memory_order_acquire) >= kFull; }

  std::atomic<uint32_t> state_ = kNotReady;
  int count_ = 0;
  std::vector<Request> requests_;
};

}  // namespace ghost

#endif  // GHOST_EXPERIMENTS_ROCKSDB_MAILBOX_H_
