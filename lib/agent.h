// Agent: a thread that the kernel takes for the agent of one CPU.
//
// It is the thread, its becoming an agent, its status word and its orderly end. It is not a scheduler: what it runs is
// the `body` that a runtime gives it, which returns when finished() and there is nothing left to do.
//
//     Agent agent(enclave, cpu, channel, [&](Agent& self) { while (!self.finished()) Step(self); });
//     GHOST_RETURN_IF_ERROR(agent.Start());   // the thread is an agent now and waits
//     agent.Release();                        // body runs
//     agent.Terminate();
//
// Threads: all public methods from the thread that owns the object, except those marked (agent), for the body, and
// finished(), for both. A thread that is an agent must not wait for locks that threads outside its process may hold.
#ifndef GHOST_LIB_AGENT_H_
#define GHOST_LIB_AGENT_H_

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "lib/channel.h"
#include "lib/enclave.h"
#include "lib/status_word.h"

namespace ghost {

class Agent {
 public:
  using Body = std::function<void(Agent&)>;

  // `channel` gets the agent's CPU messages; null: the enclave's default queue does.
  Agent(Enclave* enclave, int cpu, Channel* channel, Body body);
  ~Agent();  // terminates, if that has not been done
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Starts the thread; StartComplete waits until it is an agent, or says why it can't be. A CPU whose old agent is just
  // dying is waited for (bounded).
  void StartBegin();
  absl::Status StartComplete();
  absl::Status Start() {
    StartBegin();
    return StartComplete();
  }
  // Lets the body run.
  void Release();

  // finished() from now on, and a ping that makes the body look.
  void TerminateBegin();
  // Joins the thread, waits (bounded) until the kernel has let go of it, frees its status word.
  void TerminateComplete();
  void Terminate() {
    TerminateBegin();
    TerminateComplete();
  }

  int cpu() const { return cpu_; }
  bool finished() const { return finished_.load(std::memory_order_acquire); }
  RunRequest& run_request() { return enclave_->run_request(cpu_); }  // (agent)
  const StatusWord& status_word() const { return status_word_; }
  uint32_t barrier() const { return status_word_.barrier(); }
  bool boosted_priority() const { return status_word_.boosted_priority(); }

 private:
  enum class Stage { kIdle, kStarting, kAgent, kFailed, kReleased };
  void ThreadMain();
  absl::Status BecomeAgent();
  void SetStage(Stage stage);

  Enclave* const enclave_;
  const int cpu_;
  Channel* const channel_;
  const Body body_;
  std::thread thread_;
  std::atomic<bool> finished_{false};
  StatusWord status_word_;

  std::mutex mutex_;
  std::condition_variable stage_changed_;
  Stage stage_ = Stage::kIdle;  // guarded by mutex_
  absl::Status start_status_;   // guarded by mutex_
};

}  // namespace ghost

#endif  // GHOST_LIB_AGENT_H_
