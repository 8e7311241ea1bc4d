// PrioTable: what an application tells its scheduler about the work of its threads, in shared memory.
//
//     items    one per thread (sched_item): does it have work, of which class, until when
//     classes  kinds of work (work_class): how urgent, how long a piece takes, whether it comes again
//     stream   which items have changed; when it can't hold more it says so, and the scheduler looks at all
//
// An application writes an item under its seqcount, then announces it:
//
//     ghost::PrioTable table(/*num_items=*/8, /*num_classes=*/2, PrioTable::StreamCapacity::kStreamCapacity19);
//     struct sched_item* item = table.sched_item(3);
//     const uint32_t begin = item->seqcount.write_begin();
//     item->flags |= SCHED_ITEM_RUNNABLE;
//     item->seqcount.write_end(begin);
//     table.MarkUpdatedIndex(3, /*num_retries=*/3);
//
// shared/prio_table_helper.h makes that shorter. A scheduler attaches to the table of a process and reads checked
// copies (ReadItem, ReadClass), never the table itself: the application may write anything at any time, and may die
// in the middle of it. Counts are read once, at Attach; no offset is ever read.
//
// Units: all times are ns; `deadline` is a point in time, see sched_item. Threads: any number of the application's may
// write; one thread of one scheduler reads the stream.
#ifndef GHOST_SHARED_PRIO_TABLE_H_
#define GHOST_SHARED_PRIO_TABLE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/shared_word.h"
#include "shared/shmem.h"

namespace ghost {

// sched_item::flags
inline constexpr uint32_t SCHED_ITEM_RUNNABLE = 1;  // the thread has work

// work_class::flags
inline constexpr uint32_t WORK_CLASS_ONESHOT = 1;    // a piece of work comes once
inline constexpr uint32_t WORK_CLASS_REPEATING = 2;  // it comes again each `period`: the scheduler sets RUNNABLE then

// A lock for writers that readers can do without: odd while somebody writes.
struct seqcount {
  // A reader copies the data between the two; if read_end is false the copy is worthless. It does not wait.
  uint32_t read_begin() const;
  bool read_end(uint32_t begin) const;

  // Takes it, waiting for a writer that has it. One that has it for longer than 100 ms is dead or stopped: then it is
  // taken away. For applications; the result is for write_end.
  uint32_t write_begin();
  // Takes it if nobody has it: {true, for write_end}. Does not wait.
  std::pair<bool, uint32_t> try_write_begin();
  void write_end(uint32_t begin);

  uint32_t seqnum;
};

struct alignas(64) sched_item {
  uint32_t sid;    // its index
  uint32_t wcid;   // index of its class
  uint64_t gpid;   // the thread: its gtid, or its thread id as gettid() says it there (no gtid is below 2^32)
  uint32_t flags;  // SCHED_ITEM_*
  struct seqcount seqcount;
  // When the work should be done: CLOCK_MONOTONIC in ns; 0: no deadline. Values above kFirstWallClockNs are ns since
  // 1970 (CLOCK_REALTIME), which older applications write; they are converted, so a step of that clock moves them.
  uint64_t deadline;
};

struct alignas(64) work_class {
  uint32_t id;        // its index
  uint32_t flags;     // WORK_CLASS_*
  uint32_t qos;       // higher is more urgent
  uint64_t exectime;  // how long a piece of work takes, as the application estimates; 0: unknown
  uint64_t period;    // of repeating work; 0: none
};

// 10^18: 31 years after boot, and September 2001.
inline constexpr uint64_t kFirstWallClockNs = 1'000'000'000'000'000'000;

static_assert(sizeof(struct seqcount) == 4 && sizeof(struct sched_item) == 64 && sizeof(struct work_class) == 64);

class PrioTable {
 public:
  // How many changes the stream can hold: primes, so that neighbours don't meet.
  enum class StreamCapacity : uint32_t {
    kStreamCapacity11 = 11,
    kStreamCapacity19 = 19,
    kStreamCapacity31 = 31,
    kStreamCapacity43 = 43,
    kStreamCapacity53 = 53,
    kStreamCapacity67 = 67,
    kStreamCapacity83 = 83,
    kStreamCapacity97 = 97,
  };
  static constexpr uint32_t kMaxItems = 65536;
  static constexpr uint32_t kMaxClasses = 4096;
  static constexpr absl::string_view kName = "priotable";
  static constexpr int64_t kVersion = 1;
  // What NextUpdatedIndex says besides an index.
  static constexpr int kNoUpdate = -1;
  static constexpr int kOverflow = -2;

  // None: to be attached.
  PrioTable() = default;
  // For an application: a table of its own, zeroed, ready to be found. If status() is not ok there is no table.
  PrioTable(uint32_t num_items, uint32_t num_classes, StreamCapacity capacity);

  // For a scheduler: the table of process `pid`; errors as GhostShmem::Attach, and FailedPrecondition if its counts
  // make no sense.
  absl::Status Attach(pid_t pid, const std::string& procfs = "/proc", ShmemSearch* search = nullptr);
  absl::Status AttachFd(int fd);

  const absl::Status& status() const { return status_; }
  // The application's pid, as it says itself; 0 if there is no table.
  pid_t Owner() const { return shmem_.Owner(); }
  GhostShmem::Id id() const { return shmem_.id(); }
  // The application's descriptor of it; -1 if it was attached.
  int fd() const { return shmem_.fd(); }
  int NumItems() const { return static_cast<int>(num_items_); }
  int NumClasses() const { return static_cast<int>(num_classes_); }

  // For the application: the table itself. The index must be in range.
  struct sched_item* sched_item(int index) const;
  struct work_class* work_class(int index) const;
  // Announces that an item has changed (after write_end). With all of 1 + num_retries places in the stream taken by
  // other items the scheduler is told to look at all items.
  void MarkUpdatedIndex(int index, int num_retries);

  // For the scheduler. Whether NextUpdatedIndex may say more than kNoUpdate.
  bool HasUpdates() const {
    static_assert(kWords == 2);
    const Stream& s = *stream();
    return (taken_[0] | taken_[1] | LoadShared<Order::kRelaxed>(s.overflow) |
            LoadShared<Order::kRelaxed>(s.pending[0]) | LoadShared<Order::kRelaxed>(s.pending[1])) != 0;
  }
  // An item that has changed (several changes may be told as one), kNoUpdate, or kOverflow: any
  // may have. Everything written before a change was announced is seen by whoever is told of it. Bounded, whatever
  // is in the memory.
  int NextUpdatedIndex();
  // A consistent copy of an item; false if somebody is writing it: then it will be announced. The index must be in
  // range; nothing that is in the copy need be.
  bool ReadItem(int index, struct sched_item* copy) const;
  // A copy of a class, field by field.
  struct work_class ReadClass(int index) const;

 private:
  static constexpr size_t kMaxCapacity = 97;
  static constexpr int kWords = 2;  // of a bit per place

  // The region: header, stream, items, classes; each begins a cache line, and where follows from the counts.
  struct alignas(64) Header {
    uint32_t num_items;
    uint32_t num_classes;
    uint32_t stream_capacity;
  };
  // An item goes to the first free place from its index modulo the capacity on. The place is filled before its bit is
  // set, and the bit is taken before the place is emptied: a bit without a place is an item that was told already.
  struct alignas(64) Stream {
    uint32_t overflow;             // 1: an item found no place
    uint64_t pending[kWords];      // a bit for each place that was filled
    uint32_t place[kMaxCapacity];  // an item's index + 1; 0: free
  };

  static size_t SizeFor(uint32_t num_items, uint32_t num_classes);
  static absl::Status CheckCounts(uint32_t num_items, uint32_t num_classes, uint32_t capacity);
  absl::Status CheckHeader();
  Header* header() const { return reinterpret_cast<Header*>(shmem_.bytes()); }
  Stream* stream() const { return reinterpret_cast<Stream*>(shmem_.bytes() + sizeof(Header)); }
  bool Put(int index, uint32_t place);
  void ForgetUpdates();

  absl::Status status_;
  GhostShmem shmem_;
  // As they were when the table was made or attached; the header's own are never read again.
  uint32_t num_items_ = 0;
  uint32_t num_classes_ = 0;
  uint32_t capacity_ = 0;
  uint64_t taken_[kWords] = {};  // changes that were taken out of the stream's bits and are not told yet
};

}  // namespace ghost

#endif  // GHOST_SHARED_PRIO_TABLE_H_
