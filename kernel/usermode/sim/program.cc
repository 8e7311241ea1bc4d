#include "kernel/usermode/sim/program.h"

#include <utility>

#include "kernel/usermode/sim/event_queue.h"

namespace ghost::sim {
namespace {

Action Of(Action::Kind kind, Tid tid = 0, int64_t ns = 0) {
  Action action;
  action.kind = kind;
  action.tid = tid;
  action.ns = ns;
  return action;
}

}  // namespace

Action Action::Run(int64_t ns) { return Of(Kind::kRun, 0, ns); }
Action Action::Sleep(int64_t ns) { return Of(Kind::kSleep, 0, ns); }
Action Action::Wait(bool deferrable) {
  Action action = Of(Kind::kWait);
  action.deferrable = deferrable;
  return action;
}
Action Action::Wake(Tid tid) { return Of(Kind::kWake, tid); }
Action Action::Yield() { return Of(Kind::kYield); }
Action Action::Fork(std::unique_ptr<Program> child) {
  Action action = Of(Kind::kFork);
  action.child = std::move(child);
  return action;
}
Action Action::Affinity(const CpuSet& cpus, Tid tid) {
  Action action = Of(Kind::kAffinity, tid);
  action.cpus = std::make_shared<const CpuSet>(cpus);
  return action;
}
Action Action::Nice(int nice, Tid tid) {
  Action action = Of(Kind::kNice, tid);
  action.nice = nice;
  return action;
}
Action Action::Depart(Tid tid) { return Of(Kind::kDepart, tid); }
Action Action::Enter(uint64_t enclave, Tid tid) {
  Action action = Of(Kind::kEnter, tid);
  action.enclave = enclave;
  return action;
}
Action Action::Exit() { return Of(Kind::kExit); }

Action Puppet::Next(const Thread&, int64_t) {
  if (actions_.empty()) return Action::Run(EventQueue::kNever);
  Action action = std::move(actions_.front());
  actions_.pop_front();
  return action;
}

}  // namespace ghost::sim
