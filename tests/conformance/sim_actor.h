// An actor of the simulation: a thread of the simulated machine, and what it is told to do.
//
// Only sim_world.cc makes them. One thread.
#ifndef GHOST_TESTS_CONFORMANCE_SIM_ACTOR_H_
#define GHOST_TESTS_CONFORMANCE_SIM_ACTOR_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "kernel/usermode/sim/machine.h"
#include "tests/conformance/world.h"

namespace ghost::conformance {

using sim::Action;
using sim::Machine;
using sim::Process;
using sim::SimCaller;
using sim::Thread;

class SimActor;

// The world, as its actors need it.
class SimHost {
 public:
  virtual ~SimHost() = default;
  virtual Machine& machine() = 0;
  // Makes a call that takes no time. nullopt: it is under way, and *request is the machine's number for it.
  virtual std::optional<int64_t> Perform(SimActor& actor, const Call& call, uint64_t* request) = 0;
  // An actor for the thread that `maker` is about to fork; `fork`: with descriptors of its own.
  virtual SimActor& MakeChild(SimActor& maker, bool fork, std::unique_ptr<sim::Program>* program) = 0;
};

// CPUs of a mask as in Op::kSetAffinity.
CpuSet CpusOf(uint64_t mask);

// An actor, and what its thread does.
class SimActor : public Actor {
 public:
  SimActor(SimHost* host, Process* process, pid_t tid) : host_(*host), process_(process), tid_(tid) {}

  // What its thread does, as the machine asks for it.
  class Program : public sim::Program {
   public:
    explicit Program(SimActor* actor) : actor_(*actor) {}
    Action Next(const Thread&, int64_t) override { return actor_.NextAction(); }

   private:
    SimActor& actor_;
  };

  Thread* thread() const;  // null: it is still to be forked
  SimCaller& caller();
  Process& owner() { return *process_; }
  bool IsTask() const;
  bool is_agent() const { return thread() != nullptr && thread()->scheduling_class == Thread::Class::kAgent; }

  pid_t tid() const override { return tid_; }
  pid_t process() const override { return process_->tgid; }
  void Post(const Call& call) override;
  bool Done() override;
  int64_t result() override { return result_; }
  void SetSpinning(bool spinning) override {
    spinning_ = spinning;
    Stir();
  }
  void Release() override {
    ++gate_;
    Stir();
  }
  bool Asleep() override { return thread() != nullptr && thread()->state == Thread::State::kSleeping; }
  bool Ended() override { return thread() != nullptr && thread()->state == Thread::State::kDead; }
  uint64_t pending_request() const { return request_; }

 private:
  Action NextAction();
  // An action for a call of a task, or nullopt after the call has been made.
  std::optional<Action> ActionFor(const Call& call);
  void Finish(int64_t result) {
    result_ = result;
    posted_ = false;
  }
  // Its thread looks again at what it is to do.
  void Stir();

  SimHost& host_;
  Process* const process_;
  const pid_t tid_;
  std::unique_ptr<SimCaller> caller_;
  SimActor* child_ = nullptr;
  bool spinning_ = false;
  uint32_t gate_ = 0, passed_ = 0;
  bool posted_ = false;
  bool begun_ = false;  // the posted call's action has been given
  Call call_ = {};
  int64_t result_ = 0;
  uint64_t request_ = 0;  // an agent's that is pending
};

}  // namespace ghost::conformance

#endif  // GHOST_TESTS_CONFORMANCE_SIM_ACTOR_H_
