// A PrioTable of any bytes: attached to, and polled while its client writes more of them, well-behaved or not.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <set>
#include <span>

#include "lib/base/logging.h"
#include "lib/gtid.h"
#include "lib/work_hints.h"
#include "schedulers/hints/client_table.h"
#include "schedulers/hints/hint_rules.h"
#include "shared/prio_table.h"
#include "shared/shmem.h"
#include "tests/fuzz/fuzz_input.h"

namespace ghost {
namespace {

constexpr int kMaxTasks = 6;
constexpr size_t kMaxRegion = 16384;
constexpr int64_t kWallClockAhead = 1'700'000'000'000'000'000;

// Task i is thread 10 + i of its process, and has two gtids in its life.
ClientTask NewTask(int i, int life) {
  const pid_t tid = 1000 + i;
  return {.gtid = (int64_t{tid} << Gtid::SeqnumBits()) | life, .tid = tid, .own_tid = 10 + i};
}

class Story : public HintSource::Visitor {
 public:
  explicit Story(fuzz::FuzzInput* input) : input_(*input) {}

  void OnHint(int64_t gtid, const WorkHint& hint) override {
    GHOST_CHECK(std::any_of(std::begin(tasks_), std::end(tasks_), [gtid](const auto& task) {
      return task != nullptr && task->gtid == gtid;
    })) << gtid;
    GHOST_CHECK(hint.work_class < PrioTable::kMaxClasses);
    GHOST_CHECK(hint.exec_ns >= 0 && hint.exec_ns <= kMaxHintNs);
    if (hint.repeating) {
      GHOST_CHECK(hint.period_ns >= kMinPeriodNs && hint.period_ns <= kMaxHintNs);
    } else {
      GHOST_CHECK(hint.period_ns == 0);
    }
    GHOST_CHECK(hint.deadline >= Time());
  }

  void Run() {
    GhostShmem region(PrioTable::kVersion, PrioTable::kName, 1 + input_.Below(kMaxRegion));
    GHOST_CHECK(region.status().ok()) << region.status();
    region.MarkReady();
    memory_ = std::span(region.bytes() - GhostShmem::kHeaderSize, GhostShmem::kHeaderSize + region.size());
    WriteCounts();
    for (int writes = input_.Below(4); writes > 0; --writes) Scribble();
    PrioTable table;
    if (!table.AttachFd(region.fd()).ok()) {
      GHOST_CHECK(table.NumItems() == 0 && table.Owner() == 0);
      return;
    }
    GHOST_CHECK(table.NumItems() > 0 && table.NumClasses() > 0);
    // The client's own view, which has the same counts for ever.
    GHOST_CHECK(client_.AttachFd(region.fd()).ok());
    table_ = std::make_unique<ClientTable>(std::move(table));
    while (!input_.empty()) Act();
    ComeToRest();
    for (auto& task : tasks_) {
      if (task != nullptr) Remove(task);
    }
    GHOST_CHECK(table_->num_tasks() == 0);
  }

 private:
  void WriteCounts() {
    constexpr uint32_t kCounts[] = {1, 2, 7, 130, 65536, UINT32_MAX};
    constexpr uint32_t kCapacities[] = {11, 19, 97, 12, 0};
    const uint32_t counts[] = {input_.Pick(kCounts), input_.Pick(kCounts), input_.Pick(kCapacities)};
    std::memcpy(memory_.data() + GhostShmem::kHeaderSize, counts,
                std::min(sizeof(counts), memory_.size() - GhostShmem::kHeaderSize));
  }
  // Any bytes anywhere.
  void Scribble() {
    const size_t offset = input_.Below(static_cast<uint32_t>(memory_.size()));
    const size_t size = std::min<size_t>(1 + input_.Below(64), memory_.size() - offset);
    input_.Copy(memory_.subspan(offset, size));
  }
  void Remove(std::unique_ptr<ClientTask>& task) {
    table_->Remove(task.get());
    GHOST_CHECK(task->item == -1);
    task.reset();
  }

  void Act() {
    const int task = static_cast<int>(input_.Below(kMaxTasks));
    const int item = static_cast<int>(input_.Below(static_cast<uint32_t>(client_.NumItems())));
    switch (input_.Below(8)) {
      case 0:
        return Scribble();
      case 1:
        client_.MarkUpdatedIndex(item, static_cast<int>(input_.Below(8)));
        return;
      case 2:
        return WriteItem(item, task);
      case 3:
        return WriteClass();
      case 4:
        GHOST_CHECK(table_->Poll(this, 1 + static_cast<int>(input_.Below(300)), kWallClockAhead) <=
                    ClientTable::kMaxReads);
        return;
      case 5:
        if (tasks_[task] != nullptr) table_->SetHasWork(*tasks_[task]);
        return;
      case 6:
        if (tasks_[task] != nullptr) return Remove(tasks_[task]);
        tasks_[task] = std::make_unique<ClientTask>(NewTask(task, 1 + static_cast<int>(input_.Below(2))));
        return table_->Add(tasks_[task].get());
      case 7:
        return ComeToRest();
    }
  }
  // As the protocol says it.
  void WriteItem(int index, int task) {
    struct sched_item& item = *client_.sched_item(index);
    const auto [taken, begin] = item.seqcount.try_write_begin();
    item.gpid = input_.Below(2) == 0 ? static_cast<uint64_t>(10 + task)
                                     : static_cast<uint64_t>(NewTask(task, 1 + static_cast<int>(input_.Below(2))).gtid);
    item.wcid = input_.Below(4);
    item.flags = input_.Value<uint8_t>();
    item.deadline = input_.Value<uint64_t>();
    if (taken) item.seqcount.write_end(begin);
    client_.MarkUpdatedIndex(index, static_cast<int>(input_.Below(8)));
  }
  void WriteClass() {
    struct work_class& work_class =
        *client_.work_class(static_cast<int>(input_.Below(static_cast<uint32_t>(client_.NumClasses()))));
    work_class.flags = input_.Value<uint8_t>();
    work_class.qos = input_.Value<uint32_t>();
    work_class.exectime = input_.Value<uint64_t>();
    work_class.period = input_.Value<uint64_t>();
  }
  // When nobody writes, there is soon nothing more to be told.
  void ComeToRest() {
    int polls = client_.NumItems() / ClientTable::kMaxReads + 3;
    while (table_->Poll(this, ClientTable::kMaxReads, kWallClockAhead) > 0) GHOST_CHECK(--polls > 0);
  }

  fuzz::FuzzInput& input_;
  std::span<std::byte> memory_;  // the region with its header, as the client has it
  PrioTable client_;
  std::unique_ptr<ClientTask> tasks_[kMaxTasks];
  std::unique_ptr<ClientTable> table_;
};

}  // namespace
}  // namespace ghost

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ghost::fuzz::FuzzInput input(data, size);
  ghost::Story(&input).Run();
  return 0;
}
