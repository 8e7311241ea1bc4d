// The transaction's state word and the agent's barrier, framework and core as they are: all interleavings of opening,
// claiming, aborting and finishing, and of going to sleep and being woken.
#include <cerrno>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/shared_word.h"
#include "lib/run_request.h"
#include "tests/interleaving/explorer.h"
#include "tests/interleaving/world.h"

namespace ghost::interleaving {
namespace {

// An agent opens a transaction for another CPU, loses its patience and aborts it, and opens the next; meanwhile that
// CPU commits what it finds.
struct Greedy : World {
  Greedy() : request(1, harness.Txn(1, 1), port.get()) {
    while (remote->Yield() == -ESTALE) continue;  // until its barrier is told of the new tasks
    harness.driver.TakeLog();
  }
  void Agent() {
    request.Open({.gtid = gtids[0], .task_barrier = 1});
    aborted = request.Abort();
    if (!aborted) {
      int64_t commit_time = 0;  // written before the outcome
      if (request.committed()) ReadShared(&commit_time, &harness.Txn(1, 1)->commit_time, sizeof(commit_time));
      return;
    }
    request.Open({.gtid = gtids[1], .task_barrier = 1});
  }
  void Cpu() {
    for (bool busy : {true, false}) {
      InKernel([busy](usermode::Core& core) { core.OnOtherClass(1, busy); });
    }
  }
  std::string End() {
    const int32_t state = request.state();
    if (request.claimed()) return "it is still claimed";
    if (aborted && Runs(100) != 0) return "an aborted transaction was committed";
    const int task = aborted ? 101 : 100;
    if (state == GHOST_TXN_COMPLETE && Runs(task) != 1) return "a transaction is complete, and nothing runs";
    if (state != GHOST_TXN_COMPLETE && Runs(task) != 0) return "a transaction that is not complete was committed";
    if (state != GHOST_TXN_COMPLETE && state != GHOST_TXN_READY && state != GHOST_TXN_CPU_UNAVAIL) {
      return std::string("an outcome that nothing explains: ") + TxnStateName(state);
    }
    return "";
  }

  RunRequest request;
  bool aborted = false;
};

Result ExploreGreedy(Mutation mutation) {
  return Explore(
      [] {
        auto world = std::make_shared<Greedy>();
        return Story{.threads = {[world] { world->Agent(); }, [world] { world->Cpu(); }},
                     .end = [world] { return world->End(); },
                     .owner = world};
      },
      mutation);
}

TEST(TransactionTest, OneOutcome) {
  const Result result = ExploreGreedy(Mutation::kNone);
  EXPECT_EQ(result.violation, "");
  EXPECT_GT(result.runs, 100u);
  RecordProperty("runs", static_cast<int>(result.runs));
}

TEST(TransactionTest, ClaimingIsOneStepAndEveryOrderIsNeeded) {
  EXPECT_NE(ExploreGreedy(Mutation::kTornExchange).violation, "");
  EXPECT_NE(ExploreGreedy(Mutation::kRelaxedStores).violation, "");
  EXPECT_NE(ExploreGreedy(Mutation::kRelaxedLoads).violation, "");
}

// Two agents want a CPU's transaction for their group; who has it may fill it.
Result ExploreOwners(Mutation mutation) {
  return Explore(
      [] {
        struct Owned : World {
          Owned() : first(1, harness.Txn(1, 1), port.get()), second(first) {}
          void Take(RunRequest& request, int owner) {
            if (!request.TakeOwnership(owner)) return;
            request.Open({.gtid = gtids[owner], .sync_group_owner = owner});
            wrong |= request.sync_group_owner() != owner || !request.Abort();
            request.ReleaseOwnership();
          }
          RunRequest first, second;
          bool wrong = false;
        };
        auto world = std::make_shared<Owned>();
        return Story{.threads = {[world] { world->Take(world->first, 0); }, [world] { world->Take(world->second, 1); }},
                     .end = [world] { return world->wrong ? "two have it" : ""; },
                     .owner = world};
      },
      mutation);
}

TEST(TransactionTest, OneOwner) {
  EXPECT_EQ(ExploreOwners(Mutation::kNone).violation, "");
  EXPECT_NE(ExploreOwners(Mutation::kTornExchange).violation, "");
  EXPECT_NE(ExploreOwners(Mutation::kRelaxedStores).violation, "");
}

// An agent that finds nothing to do goes to sleep while a task changes.
struct Sleeper : World {
  explicit Sleeper(bool late) : request(0, harness.Txn(1, 0), port.get()), late_barrier(late) {}
  void Drain() {
    MessageView view;
    while (channel.Peek(&view) == Channel::Result::kMessage) channel.Consume();
  }
  void Agent() {
    for (int pass = 0; pass < 2; ++pass) {
      uint32_t barrier = word.barrier();
      Drain();
      if (late_barrier) barrier = word.barrier();  // the mistake that the order above is there to avoid
      if (request.LocalYield(barrier) == 0) return;
    }
  }
  void Task() {
    InKernel([this](usermode::Core& core) { core.OnTaskPriorityChanged(gtids[0], 3); });
    // The CPU looks again at who is to have it, and shows the agent its barrier.
    InKernel([](usermode::Core& core) { core.OnOtherClass(0, true); });
  }
  std::string End() {
    if (!port->waits()) return "";
    MessageView view;
    return channel.Peek(&view) == Channel::Result::kEmpty ? "" : "the agent sleeps over a message";
  }

  RunRequest request;
  const bool late_barrier;
};

Result ExploreSleeper(bool late_barrier, Mutation mutation) {
  return Explore(
      [late_barrier] {
        auto world = std::make_shared<Sleeper>(late_barrier);
        return Story{.threads = {[world] { world->Agent(); }, [world] { world->Task(); }},
                     .end = [world] { return world->End(); },
                     .owner = world};
      },
      mutation);
}

TEST(WakeUpTest, NoneIsMissed) {
  const Result result = ExploreSleeper(/*late_barrier=*/false, Mutation::kNone);
  EXPECT_EQ(result.violation, "");
  EXPECT_GT(result.runs, 100u);
  RecordProperty("runs", static_cast<int>(result.runs));
}

TEST(WakeUpTest, ABarrierThatIsReadTooLateIsFound) {
  EXPECT_NE(ExploreSleeper(/*late_barrier=*/true, Mutation::kNone).violation.find("sleeps over a message"),
            std::string::npos);
}

}  // namespace
}  // namespace ghost::interleaving
