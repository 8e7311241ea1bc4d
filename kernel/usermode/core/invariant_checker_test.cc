#include "kernel/usermode/core/invariant_checker.h"

#include <fcntl.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/core.h"
#include "kernel/usermode/core/fake_driver.h"

namespace ghost::usermode {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A core with one enclave on two CPUs, watched by a checker.
class InvariantCheckerTest : public ::testing::Test {
 protected:
  InvariantCheckerTest() : root_(1, 1) {
    core_.AddObserver(&checker_);
    Write("ctl", "create 1 91");
    Write("enclave_1/cpulist", "0-1");
    Write("enclave_1/ctl", "create sw_region 0 0");
  }

  void Write(const std::string& path, const std::string& text) {
    int64_t node = Core::kRootNode;
    for (size_t at = 0; at < path.size();) {
      const size_t end = std::min(path.find('/', at), path.size());
      node = core_.Lookup(static_cast<uint64_t>(node), path.substr(at, end - at));
      ASSERT_GT(node, 0) << path;
      at = end + 1;
    }
    const int64_t handle = core_.Open(static_cast<uint64_t>(node), O_WRONLY, root_);
    ASSERT_GT(handle, 0) << path;
    ASSERT_EQ(core_.Write(static_cast<uint64_t>(handle), text, root_), static_cast<int64_t>(text.size())) << path;
    core_.Release(static_cast<uint64_t>(handle));
  }

  // A thread enters; it is held.
  int64_t Enter(Tid tid) {
    Write("enclave_1/tasks", std::to_string(tid));
    const int64_t gtid = (int64_t{tid} << 41) | ++sequence_;
    core_.OnTaskGated(gtid);
    return gtid;
  }

  FakeDriver driver_;
  std::vector<std::string> violations_;
  InvariantChecker checker_{
      &driver_, {.on_violation = [this](const std::string& what) { violations_.push_back(what); }, .max_idle_ns = 0}};
  Core core_{{.num_cpus = 2, .abi_versions = {91}}, &checker_};
  FakeCaller root_;
  int64_t sequence_ = 0;
};

TEST_F(InvariantCheckerTest, FindsNothingInOrdinaryLife) {
  const int64_t gtid = Enter(100);
  core_.OnTaskBlocked(gtid);  // it is held: ignored by both
  const int64_t child = core_.OnTaskForked(gtid, 101, 0, 0);
  EXPECT_GT(child, 0);
  core_.OnTaskExited(child);
  core_.OnTaskDeparted(gtid);
  EXPECT_THAT(violations_, IsEmpty());
  EXPECT_GT(checker_.entries(), 5u);
}

TEST_F(InvariantCheckerTest, TaskThatTheCoreDoesNotHave) {
  checker_.Attach(200, 77);
  Write("enclave_1/cpulist", "0");
  ASSERT_FALSE(violations_.empty());
  EXPECT_THAT(violations_[0], HasSubstr("1 tasks are held, the core has 0"));
  EXPECT_THAT(violations_[1], HasSubstr("gtid 77 is lost"));
}

TEST_F(InvariantCheckerTest, RunAndPreemptAgainstTheContract) {
  const int64_t a = Enter(100);
  const int64_t b = Enter(101);
  checker_.Run(a, 0);
  checker_.Run(b, 0);
  checker_.Run(b, 1);
  checker_.Preempt(a);
  checker_.Preempt(a);
  checker_.Run(4711, 1);
  EXPECT_THAT(violations_, ElementsAre(HasSubstr("on cpu 0, which has gtid"), HasSubstr("which is not held"),
                                       HasSubstr("is preempted twice"), HasSubstr("nobody's task")));
}

TEST_F(InvariantCheckerTest, CoreAndDriverDisagree) {
  const int64_t gtid = Enter(100);
  checker_.Run(gtid, 1);  // the core knows nothing of it
  Write("enclave_1/deliver_ticks", "1");
  core_.OnOtherClass(0, true);  // any entry that settles
  EXPECT_THAT(violations_, ::testing::Contains(HasSubstr("state 1 for the core, 2 for the driver")));
  EXPECT_THAT(violations_, ::testing::Contains(HasSubstr("the core says 0")));
}

TEST_F(InvariantCheckerTest, OutcomesOfTransactions) {
  checker_.OnClaim(0);
  checker_.OnOutcome(0, GHOST_TXN_COMPLETE);
  EXPECT_THAT(violations_, IsEmpty());
  checker_.OnOutcome(0, GHOST_TXN_COMPLETE);
  checker_.OnClaim(1);
  checker_.OnClaim(1);
  checker_.OnOutcome(1, GHOST_TXN_READY);
  EXPECT_THAT(violations_,
              ElementsAre(HasSubstr("was not claimed"), HasSubstr("claimed twice"), HasSubstr("no outcome")));
  violations_.clear();
  core_.OnOtherClass(0, true);
  EXPECT_THAT(violations_, ElementsAre(HasSubstr("1 claimed transactions without an outcome")));
}

TEST_F(InvariantCheckerTest, SyncGroupThatIsNeitherAllNorNone) {
  const auto outcomes = [&](int32_t first, int32_t second) {
    checker_.OnClaim(0);
    checker_.OnOutcome(0, first);
    checker_.OnClaim(1);
    checker_.OnOutcome(1, second);
  };
  outcomes(GHOST_TXN_COMPLETE, GHOST_TXN_COMPLETE);
  checker_.OnGroup({0, 1}, true);
  outcomes(GHOST_TXN_POISONED, GHOST_TXN_TARGET_STALE);
  checker_.OnGroup({0, 1}, false);
  EXPECT_THAT(violations_, IsEmpty());
  outcomes(GHOST_TXN_COMPLETE, GHOST_TXN_TARGET_STALE);
  checker_.OnGroup({0, 1}, true);
  checker_.OnGroup({0, 1}, false);
  EXPECT_THAT(violations_, ElementsAre(HasSubstr("cpu 1"), HasSubstr("cpu 0")));
}

TEST_F(InvariantCheckerTest, CpuTimeWhileHeld) {
  InvariantChecker exact(
      &driver_, {.on_violation = [this](const std::string& what) { violations_.push_back(what); }, .exact_time = true});
  exact.OnTaskForked(7);
  driver_.runtime_ns[7] = 100;
  exact.Run(7, 0);
  driver_.now_ns += 50;
  driver_.runtime_ns[7] = 150;
  exact.OnTaskEvent(7, CoreObserver::TaskEvent::kBlocked);
  EXPECT_THAT(violations_, IsEmpty());
  exact.OnTaskEvent(7, CoreObserver::TaskEvent::kReady);
  driver_.runtime_ns[7] = 160;
  exact.Run(7, 0);
  driver_.now_ns += 5;
  driver_.runtime_ns[7] = 170;
  exact.OnTaskEvent(7, CoreObserver::TaskEvent::kGated);
  EXPECT_THAT(violations_,
              ElementsAre(HasSubstr("10 ns of CPU time while held"), HasSubstr("10 ns of CPU time in 5 ns")));
}

TEST_F(InvariantCheckerTest, TaskThatWaitsForTooLong) {
  Enter(100);
  checker_.set_max_wait_ns(1000);
  driver_.now_ns += 1000;
  core_.OnOtherClass(0, true);
  EXPECT_THAT(violations_, IsEmpty());
  driver_.now_ns += 1;
  core_.OnOtherClass(0, false);
  EXPECT_THAT(violations_, ElementsAre(HasSubstr("has waited for 1001 ns")));
}

}  // namespace
}  // namespace ghost::usermode
