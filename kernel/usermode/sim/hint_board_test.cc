#include "kernel/usermode/sim/hint_board.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernel/usermode/core/identity.h"

namespace ghost::sim {
namespace {

constexpr Tid kTid = 100;

class HintBoardTest : public testing::Test, public HintSource::Visitor {
 protected:
  void OnHint(int64_t gtid, const WorkHint& hint) override { told_.emplace_back(gtid, hint.qos); }
  std::vector<std::pair<int64_t, uint32_t>> Poll(SimHintSource& source) {
    told_.clear();
    EXPECT_TRUE(source.Poll(this));
    return told_;
  }
  using Told = std::vector<std::pair<int64_t, uint32_t>>;

  HintBoard board_;
  const int64_t gtid_ = int64_t{kTid} << usermode::kGtidSequenceBits;
  Told told_;
};

TEST_F(HintBoardTest, TellsWhatIsWrittenBeforeAndAfterTheTaskCame) {
  SimHintSource source(&board_);
  board_.Write(kTid, {.qos = 1});
  EXPECT_EQ(Poll(source), Told{});
  source.OnTaskNew(gtid_);
  EXPECT_EQ(Poll(source), (Told{{gtid_, 1}}));
  EXPECT_EQ(Poll(source), Told{});
  const uint32_t changes = *board_.changes();
  board_.Write(kTid, {.qos = 2});
  board_.Write(kTid, {.qos = 3});
  EXPECT_NE(*board_.changes(), changes);
  EXPECT_EQ(Poll(source), (Told{{gtid_, 3}}));
}

TEST_F(HintBoardTest, TheGoneAreNotToldOf) {
  SimHintSource source(&board_);
  source.OnTaskNew(gtid_);
  board_.Write(kTid, {.qos = 1});
  source.OnTaskGone(gtid_);
  EXPECT_EQ(Poll(source), Told{});
  board_.Write(kTid, {.qos = 2});
  EXPECT_EQ(Poll(source), Told{});
}

TEST_F(HintBoardTest, EachAgentProcessIsToldForItself) {
  SimHintSource first(&board_);
  first.OnTaskNew(gtid_);
  board_.Write(kTid, {.qos = 1});
  SimHintSource second(&board_);
  second.OnTaskNew(gtid_);
  EXPECT_EQ(Poll(first), (Told{{gtid_, 1}}));
  EXPECT_EQ(Poll(second), (Told{{gtid_, 1}}));
}

TEST_F(HintBoardTest, AnAgentMayGiveWorkBack) {
  SimHintSource source(&board_);
  source.OnTaskNew(gtid_);
  board_.Write(kTid, {.has_work = false});
  source.SetHasWork(gtid_);
  EXPECT_TRUE(board_.Find(kTid)->has_work);
  source.SetHasWork(int64_t{kTid + 1} << usermode::kGtidSequenceBits);  // who has written nothing
  EXPECT_EQ(board_.Find(kTid + 1), nullptr);
}

}  // namespace
}  // namespace ghost::sim
