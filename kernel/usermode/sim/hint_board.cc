#include "kernel/usermode/sim/hint_board.h"

#include "kernel/usermode/core/identity.h"

namespace ghost::sim {

void HintBoard::Write(Tid tid, const WorkHint& hint) {
  WorkHint& written = hints_[tid] = hint;
  written.statistics = &statistics_[hint.work_class];
  ++changes_;
  for (SimHintSource* source : sources_) source->OnWrite(tid);
}

const WorkHint* HintBoard::Find(Tid tid) const {
  const auto found = hints_.find(tid);
  return found == hints_.end() ? nullptr : &found->second;
}

SimHintSource::SimHintSource(HintBoard* board) : board_(*board) { board_.sources_.push_back(this); }

SimHintSource::~SimHintSource() { std::erase(board_.sources_, this); }

void SimHintSource::OnTaskNew(int64_t gtid) {
  const Tid tid = usermode::TidBitsOf(gtid);
  gtids_[tid] = gtid;
  if (board_.Find(tid) != nullptr) OnWrite(tid);
}

void SimHintSource::OnTaskGone(int64_t gtid) {
  const Tid tid = usermode::TidBitsOf(gtid);
  if (const auto found = gtids_.find(tid); found != gtids_.end() && found->second == gtid) gtids_.erase(found);
  if (told_.erase(gtid) > 0) std::erase(changed_, gtid);
}

void SimHintSource::OnWrite(Tid tid) {
  const auto found = gtids_.find(tid);
  if (found != gtids_.end() && told_.insert(found->second).second) changed_.push_back(found->second);
}

bool SimHintSource::Poll(Visitor* visitor) {
  told_.clear();
  for (const int64_t gtid : changed_) visitor->OnHint(gtid, *board_.Find(usermode::TidBitsOf(gtid)));
  changed_.clear();
  return true;
}

void SimHintSource::SetHasWork(int64_t gtid) {
  const auto found = board_.hints_.find(usermode::TidBitsOf(gtid));
  if (found != board_.hints_.end()) found->second.has_work = true;
}

}  // namespace ghost::sim
