#include "experiments/microbenchmarks/round_trips.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "lib/base/status.h"
#include "lib/gtid.h"
#include "lib/run_request.h"

namespace ghost {
namespace {

constexpr int kQueueElements = 1024;

}  // namespace

RoundTrips::RoundTrips(Enclave* enclave, const Options& options, std::span<TaskStamps> stamps)
    : enclave_(enclave), options_(options), group_(enclave) {
  size_t index = 0;
  for (int cpu : options_.targets) {
    if (index == stamps.size()) break;
    tasks_.push_back({.cpu = cpu, .stamps = &stamps[index++]});
  }
}

absl::Status RoundTrips::CreateQueue() {
  const CpuSet wakeup = local() ? options_.targets : CpuSet();
  GHOST_ASSIGN_OR_RETURN(queue_, enclave_->CreateChannel(kQueueElements, /*numa_node=*/0, wakeup));
  return queue_->SetDefault();
}

RoundTrips::Task* RoundTrips::Find(int64_t gtid) {
  for (Task& task : tasks_) {
    if (task.gtid == gtid) return &task;
  }
  return nullptr;
}

void RoundTrips::OnNew(const TaskNew& message, uint32_t seqnum) {
  const pid_t tid = Gtid(message.gtid).tid();
  for (Task& task : tasks_) {
    if (task.stamps->tid.load(std::memory_order_acquire) != tid) continue;
    task.gtid = message.gtid;
    task.seqnum = seqnum;
    task.runnable = message.runnable;
  }
}

void RoundTrips::OnMessage(const Message& message) {
  if (const auto* arrival = std::get_if<TaskNew>(&message.payload); arrival != nullptr) {
    return OnNew(*arrival, message.seqnum);
  }
  Task* task = GtidOf(message) == 0 ? nullptr : Find(GtidOf(message));
  if (task == nullptr) return;
  task->seqnum = message.seqnum;
  if (std::holds_alternative<TaskYield>(message.payload)) {
    task->runnable = true;
    task->yielded = true;
    return;
  }
  spoiled_ = true;
  if (std::holds_alternative<TaskWakeup>(message.payload) || std::holds_alternative<TaskPreempt>(message.payload)) {
    task->runnable = true;
  } else if (std::holds_alternative<TaskBlocked>(message.payload)) {
    task->runnable = false;
  }
}

bool RoundTrips::ReadMail() {
  bool any = false;
  MessageView view;
  while (queue_->Peek(&view) == Channel::Result::kMessage) {
    Message message;
    if (view.Decode(queue_->abi(), &message) == DecodeError::kOk) OnMessage(message);
    queue_->Consume();
    ++messages_;
    any = true;
  }
  if (!any) return false;
  if (options_.took_mail) options_.took_mail();
  seen_ns_ = options_.clock();
  return true;
}

bool RoundTrips::AllRunnable() const {
  return std::all_of(tasks_.begin(), tasks_.end(), [](const Task& task) { return task.runnable; });
}

void RoundTrips::EndRound() {
  under_way_ = false;
  for (const Task& task : tasks_) spoiled_ |= !task.yielded;
  if (std::exchange(spoiled_, false)) {
    ++spoiled_rounds_;
    return;
  }
  const int64_t round = rounds_.load(std::memory_order_relaxed);
  rounds_.store(round + 1, std::memory_order_release);
  if (round < options_.warm_up) return;
  int64_t last_ns = 0;
  for (const Task& task : tasks_) {
    const int64_t ran_ns = task.stamps->ran_ns.load(std::memory_order_acquire);
    last_ns = std::max(last_ns, ran_ns);
    if (!local()) figures_.target.Add(ran_ns - enclave_->run_request(task.cpu).commit_time_ns());
  }
  figures_.end_to_end.Add(last_ns - opened_ns_);
  if (!local()) figures_.agent.Add(committed_ns_ - opened_ns_);
  if (tasks_.size() == 1) {
    figures_.delivery.Add(seen_ns_ - tasks_[0].stamps->yielded_ns.load(std::memory_order_acquire));
  }
}

RoundTrips::Result RoundTrips::CommitLocal(uint32_t barrier) {
  Task& task = tasks_[0];
  RunRequest& request = enclave_->run_request(task.cpu);
  task.runnable = task.yielded = false;
  under_way_ = true;
  opened_ns_ = options_.clock();
  request.Open(
      {.gtid = task.gtid, .task_barrier = task.seqnum, .agent_barrier = barrier, .commit_flags = COMMIT_AT_TXN_COMMIT});
  const Outcome outcome = request.Commit();  // until the agent runs again
  if (outcome == Outcome::kRunning) return Result::kCalled;
  // Stale: messages have come meanwhile.
  task.runnable = true;
  under_way_ = spoiled_ = false;
  return outcome == Outcome::kKernelGone ? Result::kKernelGone : Result::kCalled;
}

RoundTrips::Result RoundTrips::CommitRemote() {
  for (Task& task : tasks_) task.runnable = task.yielded = false;
  under_way_ = true;
  group_.Clear();
  opened_ns_ = options_.clock();
  for (Task& task : tasks_) {
    enclave_->run_request(task.cpu).Open(
        {.gtid = task.gtid, .task_barrier = task.seqnum, .commit_flags = COMMIT_AT_TXN_COMMIT});
    group_.Add(task.cpu);
  }
  const int result = group_.Submit();
  committed_ns_ = options_.clock();
  if (result < 0) return Result::kKernelGone;
  int failed = 0;
  for (Task& task : tasks_) {
    const Outcome outcome = enclave_->run_request(task.cpu).Finish();
    if (outcome == Outcome::kKernelGone) return Result::kKernelGone;
    if (outcome == Outcome::kRunning) continue;
    ++failed;
    task.runnable = true;
  }
  // If none went through, nothing has happened: the next try is a round of its own.
  if (failed == static_cast<int>(tasks_.size())) {
    under_way_ = spoiled_ = false;
  } else if (failed > 0) {
    spoiled_ = true;
  }
  return Result::kCalled;
}

RoundTrips::Result RoundTrips::Commit(const StatusWord& agent, uint32_t barrier) {
  if (!local()) return CommitRemote();
  // Somebody of another class wants the CPU: until he has had it, no task can run there.
  if (agent.boosted_priority()) {
    spoiled_ = true;
    const int result = enclave_->run_request(options_.agent_cpu).LocalYield(barrier, RTLA_ON_IDLE);
    return result == -ENODEV ? Result::kKernelGone : Result::kCalled;
  }
  return CommitLocal(barrier);
}

RoundTrips::Result RoundTrips::Step(const StatusWord& agent) {
  if (done()) return Result::kDone;
  const uint32_t barrier = agent.barrier();
  const bool any = ReadMail();
  if (AllRunnable()) {
    if (under_way_) EndRound();
    return done() ? Result::kDone : Commit(agent, barrier);
  }
  if (!local()) {
    // Of a round that failed in part the rest has to run, too, or it would never end.
    return any ? Result::kCalled : Result::kPolled;
  }
  const int result = enclave_->run_request(options_.agent_cpu).LocalYield(barrier);
  return result == -ENODEV ? Result::kKernelGone : Result::kCalled;
}

}  // namespace ghost
