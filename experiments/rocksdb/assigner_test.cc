#include "experiments/rocksdb/assigner.h"

#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace ghost {
namespace {

using Result = Assigner::Result;

// Hints that a test decides, and that check the order of things.
class FakeHints : public SchedulerHints {
 public:
  bool IsIdle(int worker) const override { return not_idle.count(worker) == 0; }
  void SetRunnable(int worker) override {
    EXPECT_TRUE(IsIdle(worker));
    // Else it could have done them, and be idle, by now.
    EXPECT_TRUE((*workers)[worker]->mailbox().IsEmpty()) << "its requests are there already";
    runnable.push_back(worker);
  }

  const std::vector<std::unique_ptr<Worker>>* workers = nullptr;
  std::set<int> not_idle;
  std::vector<int> runnable;
};

// Workers without threads: a test takes and finishes their requests. Time is the network's own.
class AssignerTest : public testing::Test {
 protected:
  static constexpr Time kStart = Time::FromNanoseconds(1'000'000'000);

  void Make(int num_workers, int batch, int num_networks = 1) {
    for (int i = 0; i < num_workers; ++i) {
      workers_.push_back(
          std::make_unique<Worker>(Worker::Options{.index = i, .batch = batch}, nullptr, &hints_, &bell_));
    }
    hints_.workers = &workers_;
    for (int i = 0; i < num_networks; ++i) {
      networks_.push_back(std::make_unique<SyntheticNetwork>(SyntheticNetwork::Options{
          .throughput = 1'000'000, .seed = static_cast<uint64_t>(i), .start = kStart, .measure_from = kStart}));
    }
    std::vector<SyntheticNetwork*> networks;
    for (const auto& network : networks_) networks.push_back(network.get());
    std::vector<Worker*> workers;
    for (const auto& worker : workers_) workers.push_back(worker.get());
    assigner_.emplace(networks, workers, &hints_);
  }
  void AllReady() {
    for (const auto& worker : workers_) worker->mailbox().Done();
  }
  // A network's requests of the first `us`, about one for each us.
  void Arrive(int us, int network = 0) {
    now_ = kStart + absl::Microseconds(us);
    networks_[network]->Notice(now_);
  }
  int Taken(int worker) {
    EXPECT_TRUE(workers_[worker]->mailbox().Wait(Mailbox::Waiting::kSleep));
    return static_cast<int>(workers_[worker]->mailbox().taken().size());
  }

  FakeHints hints_;
  Doorbell bell_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<SyntheticNetwork>> networks_;
  std::optional<Assigner> assigner_;
  Time now_ = kStart;
};

TEST_F(AssignerTest, NothingToDo) {
  Make(1, 1);
  AllReady();
  EXPECT_EQ(assigner_->AssignOne(now_), Result::kNoRequest);
  EXPECT_TRUE(hints_.runnable.empty());
}

TEST_F(AssignerTest, RequestsWaitForAWorkerAndKeepTheirTimes) {
  Make(1, 1);
  Arrive(50);
  EXPECT_EQ(assigner_->AssignOne(now_), Result::kNoWorker);  // its thread has not begun
  AllReady();
  const Time later = kStart + absl::Seconds(1);
  EXPECT_EQ(assigner_->AssignOne(later), Result::kAssigned);
  ASSERT_EQ(Taken(0), 1);
  const Request& request = workers_[0]->mailbox().taken()[0];
  EXPECT_LT(request.arrival, kStart + absl::Microseconds(50));
  EXPECT_EQ(request.received, later);
  EXPECT_GE(request.assigned, request.received);
  EXPECT_EQ(assigner_->AssignOne(later), Result::kNoWorker);
  workers_[0]->mailbox().Done();
  EXPECT_EQ(assigner_->AssignOne(later), Result::kAssigned);
}

TEST_F(AssignerTest, ABatchIsWhatWaitsUpToItsSize) {
  Make(2, 8);
  AllReady();
  Arrive(100);
  ASSERT_EQ(assigner_->AssignOne(now_), Result::kAssigned);
  EXPECT_EQ(Taken(0), 8);
  for (Request request; networks_[0]->Receive(now_, &request);) continue;
  EXPECT_EQ(assigner_->AssignOne(now_), Result::kNoRequest);
  for (int i = 0; i < 3; ++i) networks_[0]->Notice(networks_[0]->NextArrival() + absl::Nanoseconds(1));
  ASSERT_EQ(assigner_->AssignOne(now_), Result::kAssigned);
  EXPECT_EQ(Taken(1), 3);
}

TEST_F(AssignerTest, WhoHasWaitedLongestComesFirst) {
  Make(3, 1);
  AllReady();
  Arrive(1000);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(assigner_->AssignOne(now_), Result::kAssigned);
  ASSERT_EQ(assigner_->AssignOne(now_), Result::kNoWorker);
  const auto finish = [&](int worker) {
    Taken(worker);
    workers_[worker]->mailbox().Done();
  };
  // Found in this order, as each is looked for when none is known to be free.
  for (int worker : {2, 0, 1}) {
    finish(worker);
    ASSERT_EQ(assigner_->AssignOne(now_), Result::kAssigned);
  }
  EXPECT_EQ(hints_.runnable, (std::vector<int>{0, 1, 2, 2, 0, 1}));
  finish(1);
  finish(2);
  ASSERT_EQ(assigner_->AssignOne(now_), Result::kAssigned);  // finds both
  finish(0);
  ASSERT_EQ(assigner_->AssignOne(now_), Result::kAssigned);
  ASSERT_EQ(assigner_->AssignOne(now_), Result::kAssigned);
  EXPECT_EQ(hints_.runnable.back(), 0) << "who was free last";
}

// The worker's SetIdle is still to come: it would undo SetRunnable.
TEST_F(AssignerTest, AWorkerThatIsNotIdleYetIsLeftAlone) {
  Make(2, 1);
  AllReady();
  Arrive(1000);
  hints_.not_idle = {0, 1};
  EXPECT_EQ(assigner_->AssignOne(now_), Result::kWorkerFinishing);
  hints_.not_idle = {0};
  EXPECT_EQ(assigner_->AssignOne(now_), Result::kAssigned);
  EXPECT_EQ(assigner_->AssignOne(now_), Result::kWorkerFinishing);
  hints_.not_idle = {};
  EXPECT_EQ(assigner_->AssignOne(now_), Result::kAssigned);
  EXPECT_EQ(hints_.runnable, (std::vector<int>{1, 0}));
  EXPECT_EQ(assigner_->AssignOne(now_), Result::kNoWorker);
}

TEST_F(AssignerTest, NetworksAreServedInTurn) {
  Make(1, 1, /*num_networks=*/3);
  AllReady();
  for (int network = 0; network < 3; ++network) Arrive(1000, network);
  const auto waits = [&](int network) { return networks_[network]->HasWaiting(); };
  for (int i = 0; i < 3 * 500; ++i) {
    ASSERT_EQ(assigner_->AssignOne(now_), Result::kAssigned);
    Taken(0);
    workers_[0]->mailbox().Done();
  }
  // About 1000 in each, of which 500 are served.
  EXPECT_TRUE(waits(0) && waits(1) && waits(2));
}

}  // namespace
}  // namespace ghost
