// The kit's queues, agents and tasks.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/conformance/kit.h"

namespace ghost::conformance {

constexpr int kSequenceBits = 41;  // of a gtid, below its thread id

// ---- Queues ----

Queue::Queue(Enclave& enclave, int elems) : enclave_(enclave), elems_(static_cast<uint32_t>(elems)) {
  Run& run = enclave.run();
  uint64_t mapsize = 0;
  const int64_t fd = enclave.CreateQueue({.elems = elems, .node = 0, .flags = 0}, &mapsize);
  fd_ = static_cast<int>(fd);
  std::byte* memory = fd < 0 ? nullptr : run.world().Map(fd_, mapsize, /*writable=*/true);
  if (memory == nullptr) {
    run.Differ(absl::StrCat("a queue of ", elems, " can't be had: ", ResultText(fd)));
    nothing_.resize(sizeof(ghost_ring) + static_cast<size_t>(elems) * 8);
    ring_ = reinterpret_cast<ghost_ring*>(nothing_.data());
    return;
  }
  ring_ = reinterpret_cast<ghost_ring*>(memory + reinterpret_cast<ghost_queue_header*>(memory)->start);
}

ghost_msg Queue::MessageAt(uint32_t index) const {
  ghost_msg header;
  std::memcpy(&header, reinterpret_cast<std::byte*>(ring_) + sizeof(ghost_ring) + size_t{index % elems_} * 8, 8);
  return header;
}

bool Queue::Next(Message* message) {
  std::atomic_ref<uint32_t> head(ring_->head), tail(ring_->tail);
  for (;;) {
    const uint32_t from = tail.load(std::memory_order_relaxed);
    if (from == head.load(std::memory_order_acquire)) return false;
    const uint32_t index = from % elems_;
    const ghost_msg header = MessageAt(index);
    const std::byte* slot = reinterpret_cast<std::byte*>(ring_) + sizeof(ghost_ring) + size_t{index} * 8;
    if (header.type == MSG_NOP) {
      tail.store(from + elems_ - index, std::memory_order_release);
      continue;
    }
    const DecodeError error =
        DecodeMessage(enclave_.run().abi(), {slot, static_cast<size_t>(elems_ - index) * 8}, message);
    if (error != DecodeError::kOk) {
      enclave_.run().Differ(absl::StrCat("a message of type ", header.type, ": ", DecodeErrorName(error)));
      return false;
    }
    tail.store(from + (header.length + 7u) / 8u, std::memory_order_release);
    return true;
  }
}

std::vector<Message> Queue::Take() {
  std::vector<Message> messages;
  for (Message message; Next(&message);) messages.push_back(message);
  return messages;
}

void Queue::Expect(const std::vector<std::string>& lines) {
  Run& run = enclave_.run();
  std::vector<std::string> seen;
  auto more = [&] {
    Message message;
    while (seen.size() < lines.size() && Next(&message)) seen.push_back(TextOf(run, message));
    return seen.size() == lines.size();
  };
  if (run.over()) return;
  run.world().Await(more);
  run.Want("messages", absl::StrJoin(lines, "; "), absl::StrJoin(seen, "; "));
}

// ---- Texts ----

namespace {

struct Fields {
  std::string operator()(const TaskNew& m) { return absl::StrCat(" runnable=", m.runnable); }
  std::string operator()(const TaskWakeup& m) {
    return absl::StrCat(" deferrable=", m.deferrable, " last=", m.last_ran_cpu);
  }
  std::string operator()(const TaskBlocked& m) { return Cpu(m.cpu); }
  std::string operator()(const TaskYield& m) { return Cpu(m.cpu); }
  std::string operator()(const TaskPreempt& m) { return Cpu(m.cpu) + (m.was_latched ? " latched" : ""); }
  std::string operator()(const TaskDeparted& m) { return absl::StrCat(Cpu(m.cpu), " current=", m.was_current); }
  std::string operator()(const TaskOnCpu& m) { return Cpu(m.cpu) + (m.latched_preempt ? " lost" : ""); }
  std::string operator()(const TaskPriorityChanged& m) { return absl::StrCat(" nice=", m.nice); }
  std::string operator()(const TaskLatchFailure& m) { return absl::StrCat(" errno=", m.error); }
  std::string operator()(const CpuTimerExpired& m) { return absl::StrCat(" type=", m.type, " cookie=", m.cookie); }
  template <typename Other>
  std::string operator()(const Other&) {
    return "";
  }
  static std::string Cpu(int cpu) { return absl::StrCat(" cpu=", cpu); }
};

std::string NameOf(Run& run, int64_t gtid) {
  const auto tid = static_cast<pid_t>(gtid >> kSequenceBits);
  auto found = run.names().find(tid);
  return found == run.names().end() ? "?" : found->second;
}

}  // namespace

void Name(Run& run, pid_t tid, const std::string& name) { run.names()[tid] = name; }

std::string TextOf(Run& run, const Message& message) {
  std::string name = MessageTypeName(message.type);
  const std::string fields = std::visit(Fields(), message.payload);
  if (name.starts_with("CPU_")) return absl::StrCat(name.substr(4), " ", CpuOf(message), fields);
  if (!name.starts_with("TASK_")) return name;
  return absl::StrCat(name.substr(5), " ", NameOf(run, GtidOf(message)), " seq=", message.seqnum, fields);
}

std::string StateName(int32_t state) {
  static constexpr const char* kNames[] = {
      "COMPLETE",    "ABORTED",     "TARGET_ONCPU",        "TARGET_STALE",  "TARGET_NOT_FOUND", "TARGET_NOT_RUNNABLE",
      "AGENT_STALE", "CPU_OFFLINE", "CPU_UNAVAIL",         "INVALID_FLAGS", "INVALID_TARGET",   "NOT_PERMITTED",
      "INVALID_CPU", "NO_AGENT",    "UNSUPPORTED_VERSION", "POISONED"};
  if (state == GHOST_TXN_READY) return "READY";
  if (state <= GHOST_TXN_POISONED) return kNames[int64_t{state} - GHOST_TXN_COMPLETE];
  return std::to_string(state);
}

std::string FlagNames(uint32_t flags) {
  static constexpr std::pair<uint32_t, const char*> kNames[] = {
      {GHOST_SW_F_INUSE, "INUSE"},          {GHOST_SW_F_CANFREE, "CANFREE"},   {GHOST_SW_F_ALLOCATED, "ALLOC"},
      {GHOST_SW_CPU_AVAIL, "CPUAVAIL"},     {GHOST_SW_BOOST_PRIO, "BOOST"},    {GHOST_SW_TASK_ONCPU, "ONCPU"},
      {GHOST_SW_TASK_RUNNABLE, "RUNNABLE"}, {GHOST_SW_TASK_IS_AGENT, "AGENT"}, {GHOST_SW_TASK_MSG_GATED, "GATED"}};
  std::vector<std::string> names;
  for (const auto& [bit, name] : kNames) {
    if ((flags & bit) != 0) names.push_back(name);
  }
  return absl::StrJoin(names, "|");
}

// ---- Agents ----

int64_t BecomeAgent(Enclave& enclave, Actor& actor, int cpu, int fd) {
  Run& run = enclave.run();
  if (enclave.run().abi().become_agent_takes_cpu) {
    return WriteFd(run, enclave.ctl(), absl::StrCat("become agent ", cpu, " ", fd), &actor);
  }
  run.Want("pinning an agent", int64_t{0}, SetAffinity(run, actor, 0, uint64_t{1} << cpu));
  return WriteFd(run, enclave.ctl(), absl::StrCat("become agent ", fd), &actor);
}

Agent::Agent(Enclave& enclave, int cpu, const AgentOptions& options)
    : enclave_(enclave), run_(enclave.run()), cpu_(cpu), actor_(options.thread), queue_(options.queue) {
  run_.Need(cpu < run_.traits().agent_cpus, absl::StrCat("no agent can be had on CPU ", cpu, " here"));
  if (queue_ == nullptr) {
    own_queue_ = std::make_unique<Queue>(enclave);
    queue_ = own_queue_.get();
  }
  // After the queue: so it has the descriptor.
  if (actor_ == nullptr) actor_ = run_.world().NewProcess();
  Become(options);
}

void Agent::Become(const AgentOptions& options) {
  const int64_t result = BecomeAgent(enclave_, *actor_, cpu_, queue_->fd());
  if (result < 0) run_.Differ(absl::StrCat("become agent: ", ResultText(result)));
  // On a ghost kernel a sleeping agent takes its CPU's tasks with it.
  if (!run_.traits().user_mode) actor_->SetSpinning(true);
  run_.Want("SW_GET_INFO of an agent", std::string("0"),
            ResultText(enclave_.GetInfo(GHOST_AGENT, static_cast<uint64_t>(cpu_), &sw_)));
  if (options.default_queue) {
    run_.Want("SET_DEFAULT_QUEUE", std::string("0"), ResultText(enclave_.SetDefaultQueue(queue_->fd())));
  }
  if (options.wakeup) {
    run_.Want("CONFIG_QUEUE_WAKEUP", std::string("0"),
              ResultText(enclave_.ConfigWakeup(queue_->fd(), {{.cpu = cpu_, .prio = 0}})));
  }
}

ghost_txn& Agent::Prepare(int cpu, int64_t gtid, const TxnOptions& options) {
  ghost_txn& txn = enclave_.Txn(cpu);
  if (run_.over()) return txn;
  txn.version = GHOST_TXN_VERSION;
  txn.cpu = cpu;
  txn.agent_barrier = FreshBarrier() + static_cast<uint32_t>(options.agent_barrier_error);
  txn.task_barrier = static_cast<uint32_t>(options.barrier_error);
  ghost_sw_info info;
  if (gtid > 0 && enclave_.GetInfo(GHOST_TASK, static_cast<uint64_t>(gtid), &info) == 0) {
    txn.task_barrier += enclave_.Word(info).barrier;
  }
  txn.gtid = gtid;
  txn.run_flags = options.run_flags;
  txn.commit_flags = options.commit_flags;
  std::atomic_ref<int32_t>(txn.state).store(GHOST_TXN_READY, std::memory_order_release);
  return txn;
}

ghost_txn& Agent::Prepare(int cpu, Task& task, const TxnOptions& options) { return Prepare(cpu, task.gtid(), options); }

uint32_t Agent::FreshBarrier() {
  const uint32_t old = Barrier();
  const int64_t result = RunIoctl({.gtid = 0, .agent_barrier = old - 1, .run_cpu = cpu_});
  run_.Want("RUN with an old barrier", Errno(ESTALE), ResultText(result));
  return Barrier();
}

int64_t Agent::RunIoctl(const ghost_ioc_run& arguments) { return enclave_.Ioctl(GHOST_IOC_RUN, arguments, actor_); }

int64_t Agent::Ping(int cpu) { return RunIoctl({.gtid = GHOST_AGENT_GTID, .run_cpu = cpu}); }

void Agent::PostAndSettle(const Call& call) {
  if (!Post(run_, *actor_, call)) return;
  run_.Await("the end of the agent's call", [&] { return actor_->Done() || (Flags() & GHOST_SW_TASK_ONCPU) == 0; });
}

void Agent::Commit(const std::vector<int>& cpus, bool group) { PostAndSettle(enclave_.CommitCall(cpus, group)); }

std::string Agent::Commit(int cpu, int64_t gtid, const TxnOptions& options) {
  ghost_txn& txn = Prepare(cpu, gtid, options);
  Commit({cpu});
  return StateName(std::atomic_ref<int32_t>(txn.state).load(std::memory_order_acquire));
}

std::string Agent::Commit(int cpu, Task& task, const TxnOptions& options) { return Commit(cpu, task.gtid(), options); }

void Agent::Run(Task& task, uint16_t run_flags) {
  run_.Want("commit", std::string("COMPLETE"), Commit(cpu_, task, {.run_flags = run_flags}));
}

void Agent::YieldAt(uint32_t barrier, int run_flags) {
  auto* arguments =
      New<ghost_ioc_run>(run_, {.gtid = 0, .agent_barrier = barrier, .run_cpu = cpu_, .run_flags = run_flags});
  PostAndSettle({Op::kIoctl, {static_cast<uint64_t>(enclave_.ctl()), GHOST_IOC_RUN, Address(arguments)}});
}

int64_t Agent::Back() {
  run_.Await("the agent's return", [&] { return actor_->Done(); });
  return run_.over() ? -ETIMEDOUT : actor_->result();
}

void Agent::Expect(const std::vector<std::string>& lines) {
  queue_->Expect(lines);
  run_.Want("result of the agent's call", int64_t{0}, std::min<int64_t>(Back(), 0));
}

// ---- Tasks ----

Task::Task(Enclave& enclave, const std::string& name, const TaskOptions& options)
    : enclave_(enclave), actor_(options.thread) {
  Run& run = enclave.run();
  if (actor_ == nullptr) actor_ = run.world().NewProcess();
  Name(run, actor_->tid(), name);
  if (run.over()) return;
  if (options.asleep) {
    actor_->Post({Op::kBlock});
    run.Await(name + " falls asleep", [&] { return actor_->Asleep(); });
  } else {
    actor_->SetSpinning(true);
  }
  gtid_ = enclave.GtidOf(*actor_);
  if (options.itself) {
    const int64_t fd = Open(run, enclave.Path("tasks"), O_WRONLY, actor_);
    actor_->Post({Op::kWrite, {static_cast<uint64_t>(fd), Address(Put(run, "0")), 1}});
    run.Await(name + "'s entry", [&] { return enclave.GetInfo(GHOST_TASK, static_cast<uint64_t>(gtid_)) == 0; });
  } else {
    const int64_t result = enclave.Write("tasks", std::to_string(actor_->tid()));
    if (result < 0) run.Differ(absl::StrCat("entry of ", name, ": ", ResultText(result)));
  }
  Look();
}

Task::Task(Enclave& enclave, const std::string& name, Actor& actor, int64_t gtid)
    : enclave_(enclave), actor_(&actor), gtid_(gtid) {
  Name(enclave.run(), actor.tid(), name);
  Look();
}

void Task::Look() {
  enclave_.run().Want("SW_GET_INFO of a task", std::string("0"),
                      ResultText(enclave_.GetInfo(GHOST_TASK, static_cast<uint64_t>(gtid_), &sw_)));
}

void Task::Post(const Call& call) {
  Run& run = enclave_.run();
  if (run.Await("the end of a task's last call", [&] { return actor_->Done(); })) actor_->Post(call);
}

int64_t Task::Result() {
  enclave_.run().Await("the end of a task's call", [&] { return actor_->Done(); });
  return enclave_.run().over() ? -ETIMEDOUT : actor_->result();
}

// ---- TwoAgents ----

TwoAgents::TwoAgents(Run& run)
    : enclave(run),
      first(enclave),
      second(enclave),
      leader(*run.world().NewProcess()),
      a(enclave, 0, {.thread = &leader, .queue = &first}),
      b(enclave, 1, {.thread = &NewThread(run, leader), .queue = &second, .default_queue = false}) {}

}  // namespace ghost::conformance
