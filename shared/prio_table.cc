#include "shared/prio_table.h"

#include <sched.h>

#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/logging.h"
#include "lib/base/shared_word.h"
#include "lib/base/spin.h"
#include "lib/base/status.h"
#include "lib/base/time.h"

namespace ghost {
namespace {

constexpr absl::Duration kLongestWrite = absl::Milliseconds(100);
constexpr int kSpinsBetweenYields = 128;
constexpr int kReadTries = 3;

// ThreadSanitizer knows no fences; it sees no race without them, since all that they order are atomic accesses.
template <int order>
void Fence() {
#ifndef __SANITIZE_THREAD__
  __atomic_thread_fence(order);
#endif
}

}  // namespace

// -- seqcount: the count is odd while there is a writer. Its data are written after the count became odd and before it
// becomes even again; a reader that saw the same even count before and after has seen no half of a write. --

uint32_t seqcount::read_begin() const { return LoadShared<Order::kAcquire>(seqnum); }

bool seqcount::read_end(uint32_t begin) const {
  Fence<__ATOMIC_ACQUIRE>();  // the copy's loads come before this load
  return begin % 2 == 0 && LoadShared<Order::kRelaxed>(seqnum) == begin;
}

std::pair<bool, uint32_t> seqcount::try_write_begin() {
  uint32_t now = LoadShared<Order::kRelaxed>(seqnum);
  if (now % 2 != 0 || !ExchangeShared(seqnum, &now, now + 1)) return {false, 0};
  Fence<__ATOMIC_RELEASE>();  // the data's stores come after the count's
  return {true, now + 1};
}

uint32_t seqcount::write_begin() {
  uint32_t holder = 0;  // the count of the writer that we wait for; no writer's is 0
  Time since;
  for (int spins = 1;; ++spins) {
    if (const auto [taken, begin] = try_write_begin(); taken) return begin;
    if (spins % kSpinsBetweenYields != 0) {
      Pause();
      continue;
    }
    uint32_t now = LoadShared<Order::kRelaxed>(seqnum);
    if (now % 2 != 0 && now == holder && Time::Now() - since > kLongestWrite) {
      // From one odd count to another: readers of the old one fail, and so does its holder's write_end.
      if (!ExchangeShared(seqnum, &now, now + 2)) continue;
      Fence<__ATOMIC_RELEASE>();
      return now + 2;
    }
    if (now != holder) {
      holder = now;
      since = Time::Now();
    }
    sched_yield();  // the holder may need this CPU
  }
}

void seqcount::write_end(uint32_t begin) {
  uint32_t expected = begin;
  ExchangeShared(seqnum, &expected, begin + 1);  // unless it was taken away
}

PrioTable::PrioTable(uint32_t num_items, uint32_t num_classes, StreamCapacity capacity)
    : status_(CheckCounts(num_items, num_classes, static_cast<uint32_t>(capacity))) {
  if (!status_.ok()) return;
  shmem_ = GhostShmem(kVersion, kName, SizeFor(num_items, num_classes));
  status_ = shmem_.status();
  if (!status_.ok()) return;
  num_items_ = num_items;
  num_classes_ = num_classes;
  capacity_ = static_cast<uint32_t>(capacity);
  *header() = {.num_items = num_items_, .num_classes = num_classes_, .stream_capacity = capacity_};
  for (int i = 0; i < NumItems(); ++i) sched_item(i)->sid = static_cast<uint32_t>(i);
  for (int i = 0; i < NumClasses(); ++i) work_class(i)->id = static_cast<uint32_t>(i);
  shmem_.MarkReady();
}

absl::Status PrioTable::Attach(pid_t pid, const std::string& procfs, ShmemSearch* search) {
  *this = PrioTable();
  GHOST_RETURN_IF_ERROR(shmem_.Attach(kVersion, kName, pid, procfs, search));
  return CheckHeader();
}

absl::Status PrioTable::AttachFd(int fd) {
  *this = PrioTable();
  GHOST_RETURN_IF_ERROR(shmem_.AttachFd(kVersion, fd));
  return CheckHeader();
}

absl::Status PrioTable::CheckHeader() {
  absl::Status status = absl::FailedPreconditionError("the table is shorter than its header");
  if (shmem_.size() >= sizeof(Header)) {
    const uint32_t num_items = LoadShared<Order::kRelaxed>(header()->num_items);
    const uint32_t num_classes = LoadShared<Order::kRelaxed>(header()->num_classes);
    const uint32_t capacity = LoadShared<Order::kRelaxed>(header()->stream_capacity);
    status = CheckCounts(num_items, num_classes, capacity);
    if (status.ok() && shmem_.size() < SizeFor(num_items, num_classes)) {
      status = absl::FailedPreconditionError("the table has no room for as many items and classes as it says");
    }
    if (status.ok()) {
      num_items_ = num_items;
      num_classes_ = num_classes;
      capacity_ = capacity;
      return status;
    }
  }
  *this = PrioTable();
  return status;
}

absl::Status PrioTable::CheckCounts(uint32_t num_items, uint32_t num_classes, uint32_t capacity) {
  if (num_items == 0 || num_items > kMaxItems || num_classes == 0 || num_classes > kMaxClasses) {
    return absl::FailedPreconditionError(absl::StrCat("a table of ", num_items, " items and ", num_classes,
                                                      " classes; it may have ", kMaxItems, " and ", kMaxClasses));
  }
  for (const StreamCapacity known :
       {StreamCapacity::kStreamCapacity11, StreamCapacity::kStreamCapacity19, StreamCapacity::kStreamCapacity31,
        StreamCapacity::kStreamCapacity43, StreamCapacity::kStreamCapacity53, StreamCapacity::kStreamCapacity67,
        StreamCapacity::kStreamCapacity83, StreamCapacity::kStreamCapacity97}) {
    if (capacity == static_cast<uint32_t>(known)) return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat("a change stream of ", capacity, " places: none of the known"));
}

size_t PrioTable::SizeFor(uint32_t num_items, uint32_t num_classes) {
  return sizeof(Header) + sizeof(Stream) + size_t{num_items} * sizeof(struct sched_item) +
         size_t{num_classes} * sizeof(struct work_class);
}

struct sched_item* PrioTable::sched_item(int index) const {
  GHOST_CHECK(index >= 0 && index < NumItems()) << "item " << index << " of " << NumItems();
  return reinterpret_cast<struct sched_item*>(shmem_.bytes() + sizeof(Header) + sizeof(Stream)) + index;
}

struct work_class* PrioTable::work_class(int index) const {
  GHOST_CHECK(index >= 0 && index < NumClasses()) << "class " << index << " of " << NumClasses();
  return reinterpret_cast<struct work_class*>(shmem_.bytes() + sizeof(Header) + sizeof(Stream) +
                                              size_t{num_items_} * sizeof(struct sched_item)) +
         index;
}

// Whether the item stands at this place now.
bool PrioTable::Put(int index, uint32_t place) {
  const uint32_t value = static_cast<uint32_t>(index) + 1;
  uint32_t& word = stream()->place[place];
  uint32_t expected = 0;
  // Written again even if it stands there already: so the scheduler, which takes it out, sees what we wrote before.
  while (!ExchangeShared(word, &expected, value)) {
    if (expected != 0 && expected != value) return false;
  }
  __atomic_fetch_or(&stream()->pending[place / 64], uint64_t{1} << (place % 64), __ATOMIC_RELEASE);
  return true;
}

void PrioTable::MarkUpdatedIndex(int index, int num_retries) {
  GHOST_CHECK(index >= 0 && index < NumItems()) << "item " << index << " of " << NumItems();
  for (int attempt = 0; attempt <= num_retries && attempt < static_cast<int>(capacity_); ++attempt) {
    if (Put(index, static_cast<uint32_t>(index + attempt) % capacity_)) return;
  }
  // A read-modify-write, so that whoever takes the last of several sees what was written before each of them.
  __atomic_exchange_n(&stream()->overflow, 1, __ATOMIC_ACQ_REL);
}

void PrioTable::ForgetUpdates() {
  __atomic_exchange_n(&stream()->overflow, 0, __ATOMIC_ACQ_REL);
  for (int word = 0; word < kWords; ++word) {
    taken_[word] = 0;
    __atomic_exchange_n(&stream()->pending[word], 0, __ATOMIC_ACQ_REL);
  }
  for (uint32_t place = 0; place < capacity_; ++place) {
    __atomic_exchange_n(&stream()->place[place], 0, __ATOMIC_ACQ_REL);
  }
}

int PrioTable::NextUpdatedIndex() {
  if (LoadShared<Order::kAcquire>(stream()->overflow) != 0) [[unlikely]] {
    ForgetUpdates();
    return kOverflow;
  }
  for (int word = 0; word < kWords; ++word) {
    if (taken_[word] == 0) {
      if (LoadShared<Order::kRelaxed>(stream()->pending[word]) == 0) [[likely]]
        continue;
      taken_[word] = __atomic_exchange_n(&stream()->pending[word], 0, __ATOMIC_ACQ_REL);
    }
    while (taken_[word] != 0) {
      const uint32_t place = static_cast<uint32_t>(word * 64 + std::countr_zero(taken_[word]));
      taken_[word] &= taken_[word] - 1;
      if (place >= capacity_) continue;
      const uint32_t value = __atomic_exchange_n(&stream()->place[place], 0, __ATOMIC_ACQ_REL);
      if (value != 0 && value <= num_items_) return static_cast<int>(value - 1);
    }
  }
  return kNoUpdate;
}

bool PrioTable::ReadItem(int index, struct sched_item* copy) const {
  const struct sched_item& item = *sched_item(index);
  for (int attempt = 0; attempt < kReadTries; ++attempt) {
    const uint32_t begin = item.seqcount.read_begin();
    if (begin % 2 != 0) return false;
    copy->sid = LoadShared<Order::kRelaxed>(item.sid);
    copy->wcid = LoadShared<Order::kRelaxed>(item.wcid);
    copy->gpid = LoadShared<Order::kRelaxed>(item.gpid);
    copy->flags = LoadShared<Order::kRelaxed>(item.flags);
    copy->deadline = LoadShared<Order::kRelaxed>(item.deadline);
    copy->seqcount.seqnum = begin;
    if (item.seqcount.read_end(begin)) return true;
  }
  return false;
}

struct work_class PrioTable::ReadClass(int index) const {
  const struct work_class& source = *work_class(index);
  return {.id = LoadShared<Order::kRelaxed>(source.id),
          .flags = LoadShared<Order::kRelaxed>(source.flags),
          .qos = LoadShared<Order::kRelaxed>(source.qos),
          .exectime = LoadShared<Order::kRelaxed>(source.exectime),
          .period = LoadShared<Order::kRelaxed>(source.period)};
}

}  // namespace ghost
