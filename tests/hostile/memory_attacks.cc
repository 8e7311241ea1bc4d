// Attacks on the memory that agents share with the kernel. All but the last group go on, on a thread of their own,
// while tasks are being scheduled; each returns when it has struck so often that it must have hit words in use.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "tests/hostile/stage.h"

namespace ghost::hostile {
namespace {

constexpr uint64_t kRounds = 200'000;
constexpr uint64_t kDecisions = 200;

// Strikes while decisions are made, for good. Not for what may leave the agents waiting for ever, by their own doing.
void HammerAll(Stage& stage, std::function<void(Noise&)> blow) {
  stage.Hammer(kRounds, std::move(blow));
  stage.AwaitDecisions(kDecisions);
}

template <typename T>
void Store(T* word, uint64_t value) {
  __atomic_store_n(word, static_cast<T>(value), __ATOMIC_RELAXED);
}

void Scribble(std::byte* memory, size_t size, Noise& noise) {
  const uint64_t at = noise() % (size / sizeof(uint64_t));
  Store(reinterpret_cast<uint64_t*>(memory) + at, noise());
}

// Values that are more likely to be taken for good ones than noise is.
uint64_t Plausible(Noise& noise) {
  constexpr uint64_t kValues[] = {0, 1, 2, 63, 64, 1023, 1024, 65535, 65536, INT32_MAX, UINT32_MAX, UINT64_MAX};
  const uint64_t value = noise();
  return value % 2 == 0 ? value : kValues[(value >> 8) % std::size(kValues)];
}

void QueueTail(Stage& stage) {
  HammerAll(stage, [&stage](Noise& noise) { Store(&stage.ring()->tail, Plausible(noise)); });
}

void QueueHead(Stage& stage) {
  HammerAll(stage, [&stage](Noise& noise) {
    Store(&stage.ring()->head, Plausible(noise));
    Store(&stage.ring()->overflow, Plausible(noise));
  });
}

void QueueHeader(Stage& stage) {
  HammerAll(stage, [&stage](Noise& noise) {
    Store(&stage.queue_header()->version, Plausible(noise));
    Store(&stage.queue_header()->start, Plausible(noise));
    Store(&stage.queue_header()->nelems, Plausible(noise));
  });
}

void QueueAll(Stage& stage) {
  HammerAll(stage, [&stage](Noise& noise) { Scribble(stage.queue_memory(), stage.queue_size(), noise); });
}

void TxnFields(Stage& stage) {
  stage.Hammer(kRounds, [&stage](Noise& noise) {
    for (int cpu : stage.cpus()) {
      ghost_txn& txn = stage.txn(cpu);
      switch (noise() % 9) {
        case 0:
          Store(&txn.version, Plausible(noise));
          break;
        case 1:
          Store(&txn.cpu, Plausible(noise));
          break;
        case 2:
          Store(&txn.agent_barrier, Plausible(noise));
          break;
        case 3:
          Store(&txn.task_barrier, Plausible(noise));
          break;
        case 4:
          Store(&txn.run_flags, Plausible(noise));
          break;
        case 5:
          Store(&txn.commit_flags, Plausible(noise));
          break;
        case 6:
          Store(&txn.gtid, Plausible(noise));
          break;
        case 7:
          Store(&txn.cpu_seqnum, Plausible(noise));
          break;
        default:
          Store(&txn.commit_time, Plausible(noise));
          break;
      }
    }
  });
}

void TxnState(Stage& stage) {
  stage.Hammer(kRounds, [&stage](Noise& noise) {
    constexpr int32_t kStates[] = {GHOST_TXN_READY,        GHOST_TXN_READY,
                                   GHOST_TXN_READY,        GHOST_TXN_COMPLETE,
                                   GHOST_TXN_POISONED,     0,
                                   GHOST_TXN_POISONED + 1, 1,
                                   GHOST_TXN_ABORTED,      1023,
                                   GHOST_TXN_READY - 1};
    for (int cpu : stage.cpus()) {
      Store(&stage.txn(cpu).state, static_cast<uint64_t>(kStates[noise() % std::size(kStates)]));
    }
  });
}

void TxnAll(Stage& stage) {
  stage.Hammer(kRounds, [&stage](Noise& noise) {
    for (int cpu : stage.cpus()) {
      Scribble(reinterpret_cast<std::byte*>(&stage.txn(cpu)), sizeof(ghost_txn), noise);
      if (noise() % 4 == 0) Store(&stage.txn(cpu).state, GHOST_TXN_READY);
    }
  });
}

// Sync groups by a thread that is no agent, and one by the agents' plain commits, with owners that come and go.
void SyncGroupOwner(Stage& stage) {
  stage.Hammer(kRounds, [&stage](Noise& noise) {
    for (int cpu : stage.cpus()) Store(&stage.txn(cpu).sync_group_owner, Plausible(noise));
  });
  for (int i = 0; i < 2000; ++i) {
    const int result = stage.Commit(UINT64_MAX, GHOST_IOC_SYNC_GROUP_TXN);
    Require(result == 0 || result == 1, "SYNC_GROUP_TXN gave " + std::to_string(result));
  }
}

void StatusWords(Stage& stage) {
  stage.Hammer(kRounds, [&stage](Noise& noise) {
    ghost_status_word& word = stage.words()[noise() % 64];
    switch (noise() % 5) {
      case 0:
        Store(&word.flags, noise());
        break;
      case 1:
        Store(&word.barrier, noise());
        break;
      case 2:
        Store(&word.gtid, noise());
        break;
      case 3:
        Store(&word.switch_time, noise());
        break;
      default:
        Store(&word.runtime, noise());
        break;
    }
  });
}

void StatusWordHeader(Stage& stage) {
  HammerAll(stage, [&stage](Noise& noise) {
    Scribble(reinterpret_cast<std::byte*>(stage.words_header()), sizeof(ghost_sw_region_header), noise);
  });
}

// The pages of all CPUs, those of nobody and of other enclaves too, and commits that name them all.
void OtherCpus(Stage& stage) {
  HammerAll(stage, [&stage](Noise& noise) {
    const int cpu = static_cast<int>(noise() % static_cast<uint64_t>(stage.num_cpu_data()));
    if (stage.cpus().Contains(cpu)) return;
    stage.txn(cpu).gtid = static_cast<int64_t>(Plausible(noise));
    Store(&stage.txn(cpu).state, GHOST_TXN_READY);
  });
  for (int i = 0; i < 2000; ++i) Require(stage.Commit(UINT64_MAX) == 0, "COMMIT_TXN");
}

// -- The files behind the memory, by their owner --

std::string FileOf(Stage& stage, const std::string& link) {
  char path[4096];
  const ssize_t size = readlink((stage.enclave().directory() + "/" + link).c_str(), path, sizeof(path));
  Require(size > 0, "readlink " + link);
  return std::string(path, static_cast<size_t>(size));
}

// Our own agents die of it at their next access (SIGBUS), so these attacks do not return. The kernel's next accesses
// follow from that: the agents' ends, and their tasks leaving the CPUs.
void TruncateFile(Stage& stage, const std::string& link) {
  Require(truncate(FileOf(stage, link).c_str(), 0) == 0, "truncate " + link);
  stage.AwaitDecisions(UINT64_MAX / 2);
}

void TruncateCpuData(Stage& stage) { TruncateFile(stage, "cpu_data"); }
void TruncateWords(Stage& stage) { TruncateFile(stage, "sw_regions/sw_0"); }
void TruncateQueue(Stage& stage) {
  Require(ftruncate(stage.queue().fd, 0) == 0, "truncate the queue");
  stage.AwaitDecisions(UINT64_MAX / 2);
}

// In pieces, while everything is in use: what the kernel writes in between comes and goes.
void PunchHoles(Stage& stage) {
  const int fd = open(FileOf(stage, "cpu_data").c_str(), O_RDWR | O_CLOEXEC);
  const int words = open(FileOf(stage, "sw_regions/sw_0").c_str(), O_RDWR | O_CLOEXEC);
  Require(fd >= 0 && words >= 0, "open the files of the shared memory");
  for (int i = 0; i < 500; ++i) {
    for (int file : {fd, words}) {
      Require(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20) == 0, "punch a hole");
    }
  }
}

void Unlink(Stage& stage) {
  for (const char* link : {"cpu_data", "sw_regions/sw_0"}) {
    Require(unlink(FileOf(stage, link).c_str()) == 0, std::string("unlink ") + link);
  }
  stage.AwaitDecisions(kDecisions);
}

void RemoveDirectory(Stage& stage) {
  const std::string directory = std::filesystem::path(FileOf(stage, "cpu_data")).parent_path();
  Require(std::filesystem::remove_all(directory) > 1, "remove the directory");
  stage.AwaitDecisions(kDecisions);
}

// By things that are no files of ours: a directory, a link that leads to itself, another file.
void Replace(Stage& stage) {
  const std::string cpu_data = FileOf(stage, "cpu_data");
  const std::string words = FileOf(stage, "sw_regions/sw_0");
  Require(unlink(cpu_data.c_str()) == 0 && mkdir(cpu_data.c_str(), 0755) == 0, "replace cpu_data");
  Require(unlink(words.c_str()) == 0 && symlink(words.c_str(), words.c_str()) == 0, "replace sw_0");
  stage.AwaitDecisions(kDecisions);
}

}  // namespace

const std::vector<Attack> kMemoryAttacks = {
    {"queue_tail", "the consumer's tail", QueueTail},
    {"queue_head", "head and overflow, which are the kernel's", QueueHead},
    {"queue_header", "version, start and nelems of the queue", QueueHeader},
    {"queue_all", "any word of the queue", QueueAll},
    {"txn_fields", "every field of the transactions but the state", TxnFields},
    {"txn_state", "the state of the transactions", TxnState},
    {"txn_all", "any word of the transactions", TxnAll},
    {"sync_group_owner", "the owners of sync groups", SyncGroupOwner},
    {"status_words", "all of the status words (root may write them)", StatusWords},
    {"status_word_header", "the header of the status words", StatusWordHeader},
    {"other_cpus", "the transactions of CPUs that are not the enclave's", OtherCpus},
    {"truncate_cpu_data", "the file of cpu_data ends at 0", TruncateCpuData},
    {"truncate_words", "the file of the status words ends at 0", TruncateWords},
    {"truncate_queue", "the file of the queue ends at 0", TruncateQueue},
    {"punch_holes", "holes in the files of cpu_data and status words", PunchHoles},
    {"unlink", "the files have no name any more", Unlink},
    {"remove_directory", "their directory is gone", RemoveDirectory},
    {"replace", "other things have the names of the files", Replace},
};

}  // namespace ghost::hostile
