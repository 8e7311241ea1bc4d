#include "tests/conformance/sim_actor.h"

#include <cerrno>
#include <utility>

#include "lib/base/logging.h"

namespace ghost::conformance {

CpuSet CpusOf(uint64_t mask) {
  CpuSet cpus;
  for (int cpu = 0; cpu < 64; ++cpu) {
    if (((mask >> cpu) & 1) != 0) cpus.Add(cpu);
  }
  return cpus;
}

void SimActor::Post(const Call& call) {
  GHOST_CHECK(Done()) << "a second call while one is under way";
  call_ = call;
  posted_ = true;
  begun_ = false;
  if (!IsTask() && call.op != Op::kBlock) {
    request_ = 0;
    if (std::optional<int64_t> result = host_.Perform(*this, call, &request_); result.has_value()) Finish(*result);
    return;
  }
  Stir();
}

Thread* SimActor::thread() const { return host_.machine().threads().Find(tid_); }

SimCaller& SimActor::caller() {
  if (caller_ == nullptr) caller_ = std::make_unique<SimCaller>(process_, thread(), &host_.machine().events());
  return *caller_;
}

bool SimActor::IsTask() const { return thread() == nullptr || thread()->gtid != 0; }

bool SimActor::Done() {
  if (posted_ && request_ != 0) {
    if (std::optional<int> answer = host_.machine().Answer(request_); answer.has_value()) {
      request_ = 0;
      Finish(*answer);
    }
  }
  return !posted_;
}

void SimActor::Stir() {
  Thread* thread = this->thread();
  if (thread == nullptr || is_agent()) return;
  sim::Threads& threads = host_.machine().threads();
  if (thread->state != Thread::State::kSleeping) return threads.Poke(*thread);
  // One that naps, or whose kBlock nobody has ended, sleeps on.
  const bool sleeps_on = posted_ && begun_ && (call_.op == Op::kNap || gate_ == passed_);
  if (!sleeps_on && (posted_ || spinning_)) threads.Wake(*thread, thread->cpu);
}

Action SimActor::NextAction() {
  for (;;) {
    if (!posted_) return spinning_ ? Action::Run(sim::EventQueue::kNever) : Action::Wait();
    if (call_.op == Op::kBlock) {
      if (gate_ == passed_) {
        begun_ = true;
        return Action::Wait();
      }
      ++passed_;
      Finish(0);
      continue;
    }
    if (begun_) {  // its action is over
      Finish(call_.op == Op::kFork && child_ != nullptr ? child_->tid() : 0);
      continue;
    }
    begun_ = true;
    if (std::optional<Action> action = ActionFor(call_); action.has_value()) return std::move(*action);
  }
}

std::optional<Action> SimActor::ActionFor(const Call& call) {
  switch (call.op) {
    case Op::kYield:
      return Action::Yield();
    case Op::kNap:
      return Action::Sleep(static_cast<int64_t>(call.a[0]));
    case Op::kExit:
      return Action::Exit();
    case Op::kFork:
    case Op::kThread: {
      std::unique_ptr<sim::Program> program;
      child_ = &host_.MakeChild(*this, call.op == Op::kFork, &program);
      return Action::Fork(std::move(program));
    }
    case Op::kSetAffinity:
      return Action::Affinity(CpusOf(call.a[1]), static_cast<sim::Tid>(call.a[0]));
    case Op::kSetNice:
      return Action::Nice(static_cast<int>(call.a[1]), static_cast<sim::Tid>(call.a[0]));
    case Op::kSetPolicy:
      return Action::Depart(static_cast<sim::Tid>(call.a[0]));
    default: {
      uint64_t request = 0;
      Finish(host_.Perform(*this, call, &request).value_or(-ENOSYS));
      return std::nullopt;
    }
  }
}

}  // namespace ghost::conformance
