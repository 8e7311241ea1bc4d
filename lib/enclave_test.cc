#include "lib/enclave.h"

#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/status.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {
namespace {

class EnclaveTest : public testing::Test {
 protected:
  void Create(const CpuSet& cpus = CpuSet({1, 3})) {
    absl::StatusOr<std::unique_ptr<Enclave>> enclave = Enclave::Create(&kernel_, cpus);
    ASSERT_TRUE(enclave.ok()) << enclave.status();
    enclave_ = *std::move(enclave);
    mock_ = kernel_.enclave();
  }
  std::map<int64_t, Enclave::DiscoveredTask> Discover() {
    std::map<int64_t, Enclave::DiscoveredTask> found;
    EXPECT_TRUE(enclave_->Discover(&channel_, [&](const auto& task) { found[task.gtid] = task; }).ok());
    return found;
  }

  MockKernel kernel_{4};
  std::unique_ptr<Enclave> enclave_;
  MockEnclave* mock_ = nullptr;
  Channel old_channel_, channel_;
};

TEST_F(EnclaveTest, CreateKnowsItsCpus) {
  Create();
  EXPECT_EQ(enclave_->cpus(), CpuSet({1, 3}));
  EXPECT_TRUE(enclave_->created_here());
  EXPECT_EQ(enclave_->run_request(3).cpu(), 3);
  EXPECT_EQ(enclave_->abi().number, kNewestAbi);
}

TEST_F(EnclaveTest, NoCpusIsAnError) { EXPECT_FALSE(Enclave::Create(&kernel_, {}).ok()); }

TEST_F(EnclaveTest, AMissingEnclaveIsAnError) {
  const absl::Status status = Enclave::Attach(&kernel_, "enclave_9").status();
  EXPECT_EQ(ErrnoOf(status), ENOENT);
}

// Writes down the last command that its enclave got.
class RecordingKernel : public MockKernel {
 public:
  RecordingKernel() : MockKernel(4) {}
  std::string command;

 protected:
  class RecordingEnclave : public MockEnclave {
   public:
    RecordingEnclave(int num_cpus, const CpuSet& cpus, const AbiVersion* abi, std::string* command)
        : MockEnclave(num_cpus, cpus, abi), command_(command) {}
    absl::Status WriteFile(absl::string_view name, absl::string_view text) override {
      if (name == "ctl") *command_ = std::string(text);
      return MockEnclave::WriteFile(name, text);
    }

   private:
    std::string* const command_;
  };
  std::unique_ptr<MockEnclave> MakeEnclave(int num_cpus, const CpuSet& cpus) override {
    return std::make_unique<RecordingEnclave>(num_cpus, cpus, &abi(), &command);
  }
};

TEST_F(EnclaveTest, WhatCreateMadeIsDestroyedUnlessKept) {
  for (bool keep : {false, true}) {
    RecordingKernel kernel;
    std::unique_ptr<Enclave> enclave = *Enclave::Create(&kernel, CpuSet({0}));
    if (keep) enclave->Keep();
    enclave.reset();
    EXPECT_EQ(kernel.command, keep ? "" : "destroy");
  }
}

TEST_F(EnclaveTest, Tunables) {
  Create();
  EXPECT_TRUE(enclave_->SetTunable("deliver_ticks", true).ok());
  EXPECT_EQ(*mock_->ReadFile("deliver_ticks"), "1");
  EXPECT_TRUE(enclave_->SetRunnableTimeout(absl::Milliseconds(1500)).ok());
  EXPECT_EQ(*mock_->ReadFile("runnable_timeout"), "1500");
}

TEST_F(EnclaveTest, OneAgentProcessAtATime) {
  Create();
  EXPECT_TRUE(enclave_->WaitForOldAgent(absl::ZeroDuration()).ok());
  EXPECT_TRUE(enclave_->AdvertiseOnline().ok());
  EXPECT_TRUE(enclave_->online());
  const absl::Status status = enclave_->WaitForOldAgent(absl::ZeroDuration());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBusy);
  EXPECT_NE(HintOf(status), "");
  enclave_->WithdrawOnline();
  EXPECT_TRUE(enclave_->WaitForOldAgent(absl::ZeroDuration()).ok());
}

// ---- Discovery ----

class DiscoverTest : public EnclaveTest {
 protected:
  void SetUp() override {
    Create();
    old_channel_ = *enclave_->CreateChannel(1024, 0, {});
    channel_ = *enclave_->CreateChannel(1024, 0, {});
    ASSERT_TRUE(old_channel_.SetDefault().ok());
  }
};

TEST_F(DiscoverTest, TellsWhatStatusWordsSay) {
  const int64_t queued = MockGtid(1), asleep = MockGtid(2), running = MockGtid(3);
  mock_->PostNew(queued);
  mock_->PostNew(asleep, /*runnable=*/false);
  mock_->PostNew(running);
  mock_->SetFlag(running, GHOST_SW_TASK_ONCPU, true);
  mock_->task_word(running).runtime = 12345;
  const auto found = Discover();
  ASSERT_EQ(found.size(), 3u);
  EXPECT_TRUE(found.at(queued).runnable);
  EXPECT_FALSE(found.at(queued).on_cpu);
  EXPECT_FALSE(found.at(asleep).runnable);
  EXPECT_TRUE(found.at(running).on_cpu);
  EXPECT_EQ(found.at(running).runtime_ns, 12345u);
  EXPECT_EQ(found.at(running).barrier, 1u);
  EXPECT_EQ(found.at(running).status_word.gtid(), running);
  for (const auto& [gtid, task] : found) EXPECT_EQ(mock_->queue_of_task(gtid), channel_.fd());
}

TEST_F(DiscoverTest, ThoseWhoTellOfThemselvesAreLeftOut) {
  mock_->AddTask(MockGtid(1));  // its TASK_NEW is to come
  mock_->PostNew(MockGtid(2));
  ASSERT_EQ(channel_.Associate(MockGtid(2), 1), 0);  // its messages come here already
  EXPECT_TRUE(Discover().empty());
}

TEST_F(DiscoverTest, AgentsAreNoTasks) {
  ASSERT_EQ(mock_->BecomeAgent(1, channel_.fd()), 0);
  EXPECT_TRUE(Discover().empty());
}

TEST_F(DiscoverTest, WordsOfTheDeadAreFreed) {
  mock_->PostNew(MockGtid(1));
  mock_->PostDead(MockGtid(1));
  mock_->ResetCalls();
  EXPECT_TRUE(Discover().empty());
  EXPECT_EQ(mock_->calls().frees, 1);
  EXPECT_TRUE(Discover().empty());
  EXPECT_EQ(mock_->calls().frees, 1);
}

// ghostsim, faults, seed 5941: it left and came back while there was no agent, and both its words had the same barrier.
// The kernel told nothing of it for as long as its first word was there.
TEST_F(DiscoverTest, TheFirstWordOfOneWhoIsBackIsFreed) {
  mock_->PostNew(MockGtid(1));
  mock_->SetFlag(MockGtid(1), GHOST_SW_F_CANFREE, true);
  mock_->SetFlag(MockGtid(1), GHOST_SW_TASK_MSG_GATED, true);
  mock_->on_ioctl = [&](unsigned long number, void*) -> std::optional<int> {
    if (number == GHOST_IOC_ASSOC_QUEUE) return GHOST_ASSOC_SF_BRAND_NEW;  // the second word's barrier is the same
    return std::nullopt;
  };
  mock_->ResetCalls();
  EXPECT_TRUE(Discover().empty());
  EXPECT_EQ(mock_->calls().frees, 1);
}

TEST_F(DiscoverTest, ATaskThatChangesMeanwhileIsLookedAtAgain) {
  const int64_t task = MockGtid(1);
  mock_->PostNew(task);
  int refused = 0;
  mock_->on_ioctl = [&](unsigned long number, void*) -> std::optional<int> {
    if (number == GHOST_IOC_ASSOC_QUEUE && ++refused <= 3) mock_->BumpBarrier(task);
    return std::nullopt;
  };
  const auto found = Discover();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.at(task).barrier, 4u);
}

TEST_F(DiscoverTest, ATaskThatNeverHoldsStillDoesNotHangIt) {
  const int64_t task = MockGtid(1);
  mock_->PostNew(task);
  mock_->on_ioctl = [&](unsigned long number, void*) -> std::optional<int> {
    if (number == GHOST_IOC_ASSOC_QUEUE) mock_->BumpBarrier(task);
    return std::nullopt;
  };
  EXPECT_TRUE(Discover().empty());
}

// ---- Status words ----

TEST_F(EnclaveTest, WordsOutOfRangeAreInvalid) {
  Create();
  StatusWordTable& words = enclave_->status_words();
  EXPECT_TRUE(words.Find({.id = 0, .index = MockEnclave::kCapacity - 1}).valid());
  EXPECT_FALSE(words.Find({.id = 0, .index = MockEnclave::kCapacity}).valid());
  EXPECT_FALSE(words.Find({.id = 1, .index = 0}).valid());
  EXPECT_FALSE(words.Find({.id = 0xffffffff, .index = 0xffffffff}).valid());
  EXPECT_EQ(words.Free(StatusWord()), -EINVAL);
  EXPECT_FALSE(words.AddRegion(StatusWordTable::kMaxRegions, 0).ok());
}

TEST_F(EnclaveTest, WordsByTaskAndByAgent) {
  Create();
  channel_ = *enclave_->CreateChannel(1024, 0, {});
  ASSERT_TRUE(channel_.SetDefault().ok());
  mock_->PostNew(MockGtid(5));
  StatusWordTable& words = enclave_->status_words();
  EXPECT_EQ(words.OfTask(MockGtid(5))->gtid(), MockGtid(5));
  EXPECT_EQ(ErrnoOf(words.OfTask(MockGtid(6)).status()), ENOENT);
  EXPECT_EQ(ErrnoOf(words.OfAgent(1).status()), EINVAL);
  ASSERT_EQ(mock_->BecomeAgent(1, -1), 0);
  EXPECT_TRUE(words.OfAgent(1)->is_agent());
  EXPECT_EQ(words.Free(*words.OfAgent(1)), -EINVAL);
}

TEST_F(EnclaveTest, ARegionOfUnknownLayoutIsRefused) {
  class BadKernel : public MockKernel {
   public:
    using MockKernel::MockKernel;
    ghost_sw_region_header header = {};

   protected:
    std::unique_ptr<MockEnclave> MakeEnclave(int num_cpus, const CpuSet& cpus) override {
      auto enclave = MockKernel::MakeEnclave(num_cpus, cpus);
      *reinterpret_cast<ghost_sw_region_header*>(enclave->MapStatusWords(0)->data) = header;
      return enclave;
    }
  } kernel(4);
  const ghost_sw_region_header kBad[] = {
      {.version = 1, .start = 64, .capacity = 10},   {.version = 0, .start = 0, .capacity = 10},
      {.version = 0, .start = 72, .capacity = 10},   {.version = 0, .start = 64, .capacity = 1u << 30},
      {.version = 0, .start = ~0u, .capacity = ~0u},
  };
  for (const ghost_sw_region_header& header : kBad) {
    kernel.header = header;
    EXPECT_FALSE(Enclave::Create(&kernel, CpuSet({0})).ok()) << header.start << " " << header.capacity;
  }
}

}  // namespace
}  // namespace ghost
