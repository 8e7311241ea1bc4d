// Workloads at work: the programs of their threads, and the requests that arrive at them.
//
// All randomness is a thread's or a stream's own, drawn from the seed, so that what one does never changes the numbers
// of another. Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_SCRIPT_H_
#define GHOST_KERNEL_USERMODE_SIM_SCRIPT_H_

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "kernel/usermode/sim/hint_board.h"
#include "kernel/usermode/sim/machine.h"
#include "kernel/usermode/sim/program.h"
#include "kernel/usermode/sim/random.h"
#include "kernel/usermode/sim/workload.h"

namespace ghost::sim {

// Hears of requests that were served.
class ResponseObserver {
 public:
  virtual ~ResponseObserver() = default;
  // `late`: after its deadline.
  virtual void OnResponse(int stream, int64_t latency_ns, bool late) = 0;
};

// What the threads of a workload share.
class WorkloadState {
 public:
  // `workload` and `machine` must outlive it.
  WorkloadState(const Workload* workload, Machine* machine, ResponseObserver* observer);

  const Workload& workload() const { return workload_; }
  // Makes a thread of a class, not started. `seed`: of its numbers.
  Thread& Create(int class_number, uint64_t seed);
  // Requests arrive from now (the workload's time 0) on.
  void StartStreams(uint64_t seed);
  uint64_t num_arrived(int stream) const { return streams_[static_cast<size_t>(stream)].arrived; }
  // Requests of a stream that are not served yet and whose deadline has passed.
  uint64_t CountOverdue(int stream) const;
  HintBoard& hints() { return hints_; }
  // The enclave that kEnter writes to.
  uint64_t enclave = 0;

 private:
  friend class ScriptProgram;
  struct Request {
    int stream = 0;
    int64_t arrived_ns = 0;
    int64_t service_ns = 0;
    int64_t deadline_ns = EventQueue::kNever;
  };
  struct ClassState {
    std::deque<Request> requests;
    std::deque<Tid> idle;     // that wait for a request, longest first
    std::deque<Tid> waiting;  // in kWait
    uint64_t created = 0;     // threads
    int64_t wakes = 0;        // that nobody waited for
  };
  struct Stream {
    Random random{0};
    int64_t until_ns = 0;
    uint64_t arrived = 0;
  };
  void ScheduleArrival(uint32_t stream, int64_t from_ns);
  void OnArrival(uint32_t stream, uint32_t generation);
  // Applies `change`, and a deadline if there is one, to what the thread has said of its work.
  void WriteHint(int class_number, Tid tid, const HintChange& change, int64_t deadline_ns = EventQueue::kNever);
  // … it has this request to serve, or (null) none, if its class gives hints at all.
  void HintRequest(int class_number, Tid tid, const Request* request);
  // The first that is still alive; 0: none.
  Tid TakeFirst(std::deque<Tid>& tids);

  const Workload& workload_;
  Machine& machine_;
  ResponseObserver* const observer_;
  std::vector<ClassState> classes_;
  std::vector<std::vector<std::shared_ptr<const CpuSet>>> class_cpus_;  // taken in turn by its threads; empty: all
  std::vector<Stream> streams_;
  HintBoard hints_;
  MethodHandler<WorkloadState, &WorkloadState::OnArrival> arrival_{this};
};

class ScriptProgram final : public Program {
 public:
  ScriptProgram(WorkloadState* state, int class_number, uint32_t start, uint64_t seed);

  Action Next(const Thread& thread, int64_t now_ns) override;
  // To be done before what it would do next: what a fault makes it do.
  void Inject(Action action) { injected_.push_back(std::move(action)); }

 private:
  friend class WorkloadState;
  struct Loop {
    uint32_t start = 0;
    int32_t left = 0;  // 0: for ever
  };
  // One op; false: the action that it led to is in *action.
  bool Execute(const Op& op, const Thread& thread, int64_t now_ns, Action* action);
  bool Serve(const Op& op, const Thread& thread, int64_t now_ns, Action* action);
  bool Wait(const Thread& thread, Action* action);

  WorkloadState& state_;
  const int class_;
  const std::vector<Op>& code_;
  uint32_t at_;
  Random random_;
  std::array<Loop, kMaxNesting> loops_ = {};
  int num_loops_ = 0;
  std::vector<Action> injected_;
  bool hinted_ = false;  // its class's hint is written
  // Of kServe and kWait.
  bool spinning_ = false;  // while it is listed
  bool given_ = false;     // request_ is its, but it has not begun
  bool serving_ = false;
  bool listed_ = false;  // among the idle, or the waiting
  bool granted_ = false;
  WorkloadState::Request request_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_SCRIPT_H_
