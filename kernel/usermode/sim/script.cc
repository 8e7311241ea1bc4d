#include "kernel/usermode/sim/script.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ghost::sim {
namespace {

// Steps of a program that lead to no action: an endless loop of nothing is cut into actions that take no time, which
// Threads bounds.
constexpr int kMaxSteps = 1000;
constexpr double kNsPerSecond = 1e9;

}  // namespace

WorkloadState::WorkloadState(const Workload* workload, Machine* machine, ResponseObserver* observer)
    : workload_(*workload), machine_(*machine), observer_(observer), classes_(workload->classes.size()) {
  for (const WorkloadClass& c : workload_.classes) {
    std::vector<std::shared_ptr<const CpuSet>>& sets = class_cpus_.emplace_back();
    if (!c.pinned) sets.push_back(c.cpus.empty() ? nullptr : std::make_shared<const CpuSet>(c.cpus));
    for (const int cpu : c.pinned ? c.cpus : CpuSet()) sets.push_back(std::make_shared<const CpuSet>(CpuSet{cpu}));
  }
}

Thread& WorkloadState::Create(int class_number, uint64_t seed) {
  const WorkloadClass& c = workload_.classes[static_cast<size_t>(class_number)];
  auto program = std::make_unique<ScriptProgram>(this, class_number, 0, seed);
  program->hinted_ = true;
  const auto& cpus = class_cpus_[static_cast<size_t>(class_number)];
  const uint64_t index = classes_[static_cast<size_t>(class_number)].created++;
  Thread& thread = machine_.threads().Create(
      {.nice = c.nice, .group = class_number, .affinity = cpus[index % cpus.size()]}, std::move(program));
  if (c.hint.any) WriteHint(class_number, thread.tid, c.hint);
  return thread;
}

void WorkloadState::WriteHint(int class_number, Tid tid, const HintChange& change, int64_t deadline_ns) {
  const WorkHint* old = hints_.Find(tid);
  WorkHint hint = old != nullptr ? *old : WorkHint{.deadline = Time::Infinite()};
  hint.work_class = static_cast<uint32_t>(class_number);
  hint.qos = change.qos.value_or(hint.qos);
  hint.exec_ns = change.estimate_ns.value_or(hint.exec_ns);
  hint.period_ns = change.period_ns.value_or(hint.period_ns);
  hint.repeating = change.repeating.value_or(hint.repeating);
  hint.has_work = change.has_work.value_or(true);
  if (change.deadline_ns.has_value()) deadline_ns = machine_.now_ns() + *change.deadline_ns;
  if (deadline_ns != EventQueue::kNever) hint.deadline = Time::FromNanoseconds(deadline_ns);
  hints_.Write(tid, hint);
}

void WorkloadState::HintRequest(int class_number, Tid tid, const Request* request) {
  if (!workload_.classes[static_cast<size_t>(class_number)].hint.any) return;
  HintChange change;
  change.has_work = request != nullptr;
  WriteHint(class_number, tid, change, request == nullptr ? EventQueue::kNever : request->deadline_ns);
}

uint64_t WorkloadState::CountOverdue(int stream) const {
  const RequestStream& spec = workload_.streams[static_cast<size_t>(stream)];
  const int64_t now = machine_.now_ns();
  const auto overdue = [&](const Request& r) { return r.stream == stream && r.deadline_ns < now; };
  const auto& waiting = classes_[static_cast<size_t>(spec.to)].requests;
  auto count = static_cast<uint64_t>(std::count_if(waiting.begin(), waiting.end(), overdue));
  for (const auto& thread : machine_.threads().all()) {
    const auto* program = dynamic_cast<const ScriptProgram*>(thread->program.get());
    if (program != nullptr && (program->given_ || program->serving_) && overdue(program->request_)) ++count;
  }
  return count;
}

void WorkloadState::StartStreams(uint64_t seed) {
  Random seeds(seed);
  const int64_t start_ns = machine_.now_ns();
  for (const RequestStream& stream : workload_.streams) {
    streams_.push_back({.random = seeds.Split(),
                        .until_ns = stream.until_ns > INT64_MAX - start_ns ? INT64_MAX : start_ns + stream.until_ns});
    ScheduleArrival(static_cast<uint32_t>(streams_.size() - 1), start_ns + stream.from_ns);
  }
}

void WorkloadState::ScheduleArrival(uint32_t index, int64_t from_ns) {
  Stream& stream = streams_[index];
  if (const int64_t period_ns = workload_.streams[index].period_ns; period_ns > 0) {
    const int64_t when_ns = stream.arrived == 0 ? from_ns : from_ns + period_ns;
    if (when_ns < stream.until_ns) machine_.events().Schedule(when_ns, &arrival_, index);
    return;
  }
  const double gap_ns = -std::log(1.0 - stream.random.Real()) * kNsPerSecond / workload_.streams[index].per_second;
  const int64_t when_ns = from_ns + static_cast<int64_t>(std::min(gap_ns, 1e15));
  if (when_ns < stream.until_ns) machine_.events().Schedule(when_ns, &arrival_, index);
}

Tid WorkloadState::TakeFirst(std::deque<Tid>& tids) {
  while (!tids.empty()) {
    const Tid tid = tids.front();
    tids.pop_front();
    if (machine_.threads().Find(tid)->state != Thread::State::kDead) return tid;
  }
  return 0;
}

void WorkloadState::OnArrival(uint32_t index, uint32_t) {
  Stream& stream = streams_[index];
  const RequestStream& spec = workload_.streams[index];
  const int64_t now = machine_.now_ns();
  ++stream.arrived;
  ClassState& c = classes_[static_cast<size_t>(spec.to)];
  const int64_t within_ns = spec.deadline_ns >= 0
                                ? spec.deadline_ns
                                : workload_.classes[static_cast<size_t>(spec.to)].hint.deadline_ns.value_or(-1);
  const Request request = {.stream = static_cast<int>(index),
                           .arrived_ns = now,
                           .service_ns = spec.service.Draw(stream.random),
                           .deadline_ns = within_ns < 0 ? EventQueue::kNever : now + within_ns};
  ScheduleArrival(index, now);
  const Tid tid = TakeFirst(c.idle);
  Thread* thread = tid == 0 ? nullptr : machine_.threads().Find(tid);
  auto* program = thread == nullptr ? nullptr : static_cast<ScriptProgram*>(thread->program.get());
  if (program != nullptr && spec.assigned) {
    program->request_ = request;
    program->given_ = true;
  } else {
    c.requests.push_back(request);
  }
  if (program == nullptr) return;
  program->listed_ = false;
  HintRequest(spec.to, tid, &request);
  if (std::exchange(program->spinning_, false)) {
    machine_.threads().Poke(*thread);
  } else {
    machine_.Wake(*thread, -1);
  }
}

ScriptProgram::ScriptProgram(WorkloadState* state, int class_number, uint32_t start, uint64_t seed)
    : state_(*state),
      class_(class_number),
      code_(state->workload().classes[static_cast<size_t>(class_number)].code),
      at_(start),
      random_(seed) {}

Action ScriptProgram::Next(const Thread& thread, int64_t now_ns) {
  if (!injected_.empty()) [[unlikely]] {
    Action action = std::move(injected_.back());
    injected_.pop_back();
    return action;
  }
  if (!std::exchange(hinted_, true)) {
    const WorkloadClass& c = state_.workload().classes[static_cast<size_t>(class_)];
    if (c.hint.any) state_.WriteHint(class_, thread.tid, c.hint);
  }
  Action action = Action::Run(0);
  for (int step = 0; step < kMaxSteps && Execute(code_[at_], thread, now_ns, &action); ++step) {
  }
  return action;
}

bool ScriptProgram::Execute(const Op& op, const Thread& thread, int64_t now_ns, Action* action) {
  const WorkloadClass& c = state_.workload().classes[static_cast<size_t>(class_)];
  if (op.kind == Op::Kind::kServe) return Serve(op, thread, now_ns, action);
  if (op.kind == Op::Kind::kWait) return Wait(thread, action);
  ++at_;
  switch (op.kind) {
    case Op::Kind::kRun:
      action->ns = op.time.Draw(random_);
      return false;
    case Op::Kind::kSleep:
      *action = Action::Sleep(op.time.Draw(random_));
      return false;
    case Op::Kind::kWake: {
      WorkloadState::ClassState& other = state_.classes_[static_cast<size_t>(op.number)];
      const Tid tid = state_.TakeFirst(other.waiting);
      if (tid == 0) {
        ++other.wakes;
        return true;
      }
      auto& program = static_cast<ScriptProgram&>(*state_.machine_.threads().Find(tid)->program);
      program.listed_ = false;
      program.granted_ = true;
      *action = Action::Wake(tid);
      return false;
    }
    case Op::Kind::kFork:
      *action = Action::Fork(std::make_unique<ScriptProgram>(&state_, class_, at_, random_.Next()));
      at_ = op.target;
      return false;
    case Op::Kind::kAffinity:
      *action = Action::Affinity(*c.cpu_sets[static_cast<size_t>(op.number)]);
      return false;
    case Op::Kind::kHint:
      state_.WriteHint(class_, thread.tid, c.hints[static_cast<size_t>(op.number)]);
      return true;
    case Op::Kind::kLoop:
      loops_[static_cast<size_t>(num_loops_++)] = {.start = at_, .left = op.number};
      return true;
    case Op::Kind::kEndLoop: {
      Loop& loop = loops_[static_cast<size_t>(num_loops_ - 1)];
      if (loop.left == 0 || --loop.left > 0) {
        at_ = loop.start;
      } else {
        --num_loops_;
      }
      return true;
    }
    case Op::Kind::kYield:
      *action = Action::Yield();
      return false;
    case Op::Kind::kNice:
      *action = Action::Nice(op.number);
      return false;
    case Op::Kind::kDepart:
      *action = Action::Depart();
      return false;
    case Op::Kind::kEnter:
      *action = Action::Enter(state_.enclave);
      return false;
    default:
      --at_;  // whoever asks again hears the same
      *action = Action::Exit();
      return false;
  }
}

bool ScriptProgram::Serve(const Op& op, const Thread& thread, int64_t now_ns, Action* action) {
  if (std::exchange(serving_, false)) {
    ++at_;
    if (state_.observer_ != nullptr) {
      state_.observer_->OnResponse(request_.stream, now_ns - request_.arrived_ns, now_ns > request_.deadline_ns);
    }
    return true;
  }
  WorkloadState::ClassState& c = state_.classes_[static_cast<size_t>(class_)];
  const bool spins = op.number != 0;
  if (!given_ && c.requests.empty()) {
    if (!std::exchange(listed_, true)) {
      c.idle.push_back(thread.tid);
      state_.HintRequest(class_, thread.tid, nullptr);
    }
    spinning_ = spins;
    *action = spins ? Action::Run(EventQueue::kNever) : Action::Wait();
    return false;
  }
  if (std::exchange(listed_, false)) std::erase(c.idle, thread.tid);  // woken by nobody
  if (!std::exchange(given_, false)) {
    request_ = c.requests.front();
    c.requests.pop_front();
  }
  serving_ = true;
  state_.HintRequest(class_, thread.tid, &request_);
  // It sees the request as a spinning agent sees a message.
  action->ns = request_.service_ns + (spins ? state_.machine_.costs().message_ns : 0);
  return false;
}

bool ScriptProgram::Wait(const Thread& thread, Action* action) {
  WorkloadState::ClassState& c = state_.classes_[static_cast<size_t>(class_)];
  if (std::exchange(granted_, false)) {
    ++at_;
    return true;
  }
  if (!listed_ && c.wakes > 0) {
    --c.wakes;
    ++at_;
    return true;
  }
  if (!std::exchange(listed_, true)) c.waiting.push_back(thread.tid);
  *action = Action::Wait(/*deferrable=*/false);
  return false;
}

}  // namespace ghost::sim
