// What cases are written with: files, enclaves, queues, agents and tasks of the kernel under test.
//
//     Enclave enclave(run);                     // with CPUs 0-1 and status words
//     Agent agent(enclave, 0);                  // a thread that is CPU 0's agent; its queue wakes it
//     Task task(enclave, "W");                  // a thread in the enclave that computes
//     agent.Expect({"NEW W seq=1 runnable=1"});
//     agent.Run(task);                          // a local commit: the task runs, the agent sleeps in it
//     task.Block();
//     agent.Expect({"BLOCKED W seq=2 cpu=0"});  // … and the agent is back
//
// Whatever goes wrong on the way is the verdict of the run, and what follows has no effect: nothing here returns errors
// that a case would have to look at. Objects live as long as their run. One thread.
#ifndef GHOST_TESTS_CONFORMANCE_KIT_H_
#define GHOST_TESTS_CONFORMANCE_KIT_H_

#include <fcntl.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/abi/message.h"
#include "kernel/ghost_uapi.h"
#include "tests/conformance/rule.h"
#include "tests/conformance/world.h"

namespace ghost::conformance {

// ---- Calls ----

// Begins a call. False, and a differing verdict, if the actor is still in another one.
bool Post(Run& run, Actor& actor, const Call& call);
// Makes the call and waits for its end. (-ETIMEDOUT, and a differing verdict, if it does not come.)
int64_t Do(Run& run, Actor& actor, const Call& call);

// An object, or a text with its NUL, where every actor sees it.
template <typename T>
T* New(Run& run, const T& value = {}) {
  return new (run.world().Scratch(sizeof(T))) T(value);
}
char* Put(Run& run, std::string_view text);
template <typename T>
uint64_t Address(T* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}
inline constexpr uint64_t kBadAddress = 16;  // nobody's memory

// ---- Files, by paths below the root ("enclave_7/ctl"); `by` null: the suite itself ----

int64_t Open(Run& run, const std::string& path, int flags, Actor* by = nullptr);
void Close(Run& run, int64_t fd, Actor* by = nullptr);
int64_t WriteFd(Run& run, int64_t fd, std::string_view text, Actor* by = nullptr);
std::string ReadFd(Run& run, int64_t fd, uint64_t offset = 0, Actor* by = nullptr);  // or "-1 EINVAL"
// Open, one call, close. Results of whichever fails first.
int64_t Write(Run& run, const std::string& path, std::string_view text, Actor* by = nullptr);
std::string Read(Run& run, const std::string& path, Actor* by = nullptr);

// ---- Threads ----

Actor& NewThread(Run& run, Actor& of);
int64_t SetAffinity(Run& run, Actor& by, pid_t tid, uint64_t mask);

// ---- Enclaves ----

struct EnclaveOptions {
  std::string cpus = "0-1";
  bool words = true;  // with a region of status words, sw_0
  std::string create_options = "";
};

class Enclave {
 public:
  explicit Enclave(Run& run, const EnclaveOptions& options = {});

  Run& run() { return run_; }
  uint64_t id() const { return id_; }
  const std::string& name() const { return name_; }
  std::string Path(const std::string& file) const { return name_ + "/" + file; }
  // The suite's descriptor of ctl; processes made after the enclave have it, too.
  int ctl() const { return ctl_; }

  int64_t Write(const std::string& file, std::string_view text, Actor* by = nullptr) {
    return conformance::Write(run_, Path(file), text, by);
  }
  std::string Read(const std::string& file) { return conformance::Read(run_, Path(file)); }

  int64_t IoctlAt(unsigned long number, uint64_t address, Actor* by = nullptr);
  template <typename T>
  int64_t Ioctl(unsigned long number, const T& argument, Actor* by = nullptr, T* out = nullptr) {
    T* copy = New<T>(run_, argument);
    const int64_t result = IoctlAt(number, Address(copy), by);
    if (out != nullptr) *out = *copy;
    return result;
  }
  int64_t CreateQueue(const ghost_ioc_create_queue& create, uint64_t* mapsize = nullptr, Actor* by = nullptr);
  int64_t SetDefaultQueue(int fd);
  int64_t ConfigWakeup(int fd, const std::vector<ghost_agent_wakeup>& wakeups, int flags = 0);
  int64_t Associate(int fd, int64_t gtid, uint32_t barrier, int flags = 0, uint32_t type = GHOST_TASK);
  int64_t GetInfo(uint32_t type, uint64_t arg, ghost_sw_info* info = nullptr);
  int64_t Free(const ghost_sw_info& info);
  Call CommitCall(const std::vector<int>& cpus, bool group);
  int64_t CommitMask(const std::vector<int>& cpus, bool group = false, Actor* by = nullptr);

  // The transaction of a CPU, and a copy of a status word, as agents see them.
  ghost_txn& Txn(int cpu);
  ghost_status_word Word(const ghost_sw_info& info);
  ghost_sw_region_header Header(uint32_t region);
  int64_t GtidOf(Actor& actor);

  // Writes `destroy`, and waits until the directory is gone.
  void Destroy();

 private:
  std::byte* Words(uint32_t region);

  Run& run_;
  const uint64_t id_;
  const std::string name_;
  int ctl_ = -1;
  std::byte* cpu_data_ = nullptr;
  std::map<uint32_t, std::byte*> words_;
};

// ---- Queues ----

class Queue {
 public:
  explicit Queue(Enclave& enclave, int elems = 1024);

  int fd() const { return fd_; }
  uint32_t elems() const { return elems_; }
  ghost_ring& ring() { return *ring_; }
  ghost_msg MessageAt(uint32_t index) const;  // the header in slot index
  // The next message, if there is one; NOPs are skipped.
  bool Next(Message* message);
  // The next lines.size() messages are these (TextOf), and come in time. What follows them stays.
  void Expect(const std::vector<std::string>& lines);
  // All that is there now.
  std::vector<Message> Take();

 private:
  Enclave& enclave_;
  int fd_ = -1;
  uint32_t elems_ = 0;
  ghost_ring* ring_ = nullptr;
  std::vector<std::byte> nothing_;
};

// "BLOCKED W seq=2 cpu=0": a message as cases quote it. Times, cpu_seqnums and the seqnums of CPU messages are left
// out.
std::string TextOf(Run& run, const Message& message);
// Says what a task or an actor is called in such texts.
void Name(Run& run, pid_t tid, const std::string& name);

// ---- Agents and tasks ----

class Task;

struct AgentOptions {
  Actor* thread = nullptr;    // null: a new process
  Queue* queue = nullptr;     // null: its own
  bool wakeup = true;         // the queue's messages wake it
  bool default_queue = true;  // the queue is made the enclave's default one
};

struct TxnOptions {
  uint8_t commit_flags = COMMIT_AT_TXN_COMMIT;
  uint16_t run_flags = 0;
  int barrier_error = 0;  // added to the task's barrier, and
  int agent_barrier_error = 0;
};

class Agent {
 public:
  Agent(Enclave& enclave, int cpu, const AgentOptions& options = {});

  Actor& actor() { return *actor_; }
  Queue& queue() { return *queue_; }
  int cpu() const { return cpu_; }
  const ghost_sw_info& sw() const { return sw_; }
  ghost_status_word Word() { return enclave_.Word(sw_); }
  uint32_t Barrier() { return Word().barrier; }
  uint32_t Flags() { return Word().flags; }

  // The barrier as the kernel has it: the word's copy is brought up to date only when the agent gets its CPU, blocks,
  // or (which is used here) asks to block with a barrier that is too old.
  uint32_t FreshBarrier();

  // Fills a CPU's transaction for `gtid`, with the barriers as they are, and makes it READY.
  ghost_txn& Prepare(int cpu, int64_t gtid, const TxnOptions& options = {});
  ghost_txn& Prepare(int cpu, Task& task, const TxnOptions& options = {});
  // COMMIT_TXN of these CPUs; returns when the call is done, or the agent has left its CPU in it.
  void Commit(const std::vector<int>& cpus, bool group = false);
  // Prepare and Commit; the transaction's state by name ("COMPLETE").
  std::string Commit(int cpu, int64_t gtid, const TxnOptions& options = {});
  std::string Commit(int cpu, Task& task, const TxnOptions& options = {});
  // A local commit that must succeed: the task runs.
  void Run(Task& task, uint16_t run_flags = 0);
  // RUN(0): gives the CPU up until it is woken. Returns when it sleeps, or is back.
  void Yield(int run_flags = 0) { YieldAt(FreshBarrier(), run_flags); }
  void YieldAt(uint32_t barrier, int run_flags = 0);
  int64_t Ping(int cpu);
  int64_t RunIoctl(const ghost_ioc_run& arguments);

  // Waits until its commit or RUN has returned; the result.
  int64_t Back();
  bool away() { return !actor_->Done(); }
  // Queue::Expect, and Back.
  void Expect(const std::vector<std::string>& lines);

 private:
  void Become(const AgentOptions& options);
  void PostAndSettle(const Call& call);

  Enclave& enclave_;
  conformance::Run& run_;
  const int cpu_;
  Actor* actor_ = nullptr;
  std::unique_ptr<Queue> own_queue_;
  Queue* queue_ = nullptr;
  ghost_sw_info sw_ = {};
};

// "become agent …" in the form of the ABI, by `actor` for `cpu`; where the form has no CPU, it is pinned there first.
int64_t BecomeAgent(Enclave& enclave, Actor& actor, int cpu, int fd);

struct TaskOptions {
  Actor* thread = nullptr;  // null: a new process
  bool asleep = false;      // it enters while it sleeps (until Wake)
  bool itself = false;      // it writes its own entry: the call returns when it is first run
};

class Task {
 public:
  Task(Enclave& enclave, const std::string& name, const TaskOptions& options = {});
  // One that is in the enclave already (a child).
  Task(Enclave& enclave, const std::string& name, Actor& actor, int64_t gtid);

  Actor& actor() { return *actor_; }
  int64_t gtid() const { return gtid_; }
  const ghost_sw_info& sw() const { return sw_; }
  ghost_status_word Word() { return enclave_.Word(sw_); }
  uint32_t Barrier() { return Word().barrier; }
  uint32_t Flags() { return Word().flags; }

  // Its next call; it is made when the task runs. Waits until the one before it is done.
  void Post(const conformance::Call& call);
  int64_t Result();  // waits
  void Block() { Post({Op::kBlock}); }
  void Wake() { actor_->Release(); }

 private:
  void Look();

  Enclave& enclave_;
  Actor* actor_ = nullptr;
  int64_t gtid_ = 0;
  ghost_sw_info sw_ = {};
};

// Agents on CPUs 0 and 1, of one process; all tasks' messages go to the first one's queue.
//
//     TwoAgents two(run);
//     auto& [enclave, first, second, leader, a, b] = two;
struct TwoAgents {
  explicit TwoAgents(Run& run);
  Enclave enclave;
  Queue first, second;
  Actor& leader;  // a's thread, and the maker of b's
  Agent a, b;
};

std::string StateName(int32_t txn_state);
// "INUSE|ALLOC|RUNNABLE": as the recordings write them.
std::string FlagNames(uint32_t sw_flags);

}  // namespace ghost::conformance

#endif  // GHOST_TESTS_CONFORMANCE_KIT_H_
