#include "tests/e2e/witness.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ghost::e2e {
namespace {

constexpr int kGtidSeqnumBits = 41;  // a gtid is tid << 41 | seqnum

}  // namespace

StatusWords::StatusWords(const std::string& enclave) {
  const int fd = open((enclave + "/sw_regions/sw_0").c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) return;
  void* data = mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_SHARED, fd, 0);
  if (data != MAP_FAILED) data_ = static_cast<const std::byte*>(data);
  close(fd);
}

const ghost_status_word* StatusWords::Find(pid_t tid) const {
  if (data_ == nullptr) return nullptr;
  const auto* header = reinterpret_cast<const ghost_sw_region_header*>(data_);
  const auto* words = reinterpret_cast<const ghost_status_word*>(data_ + header->start);
  const ghost_status_word* found = nullptr;
  for (uint32_t i = 0; i < header->capacity; ++i) {
    const uint32_t flags = __atomic_load_n(&words[i].flags, __ATOMIC_ACQUIRE);
    const bool in_use = (flags & GHOST_SW_F_INUSE) != 0 && (flags & GHOST_SW_F_CANFREE) == 0;
    if (!in_use || static_cast<int64_t>(words[i].gtid) >> kGtidSeqnumBits != tid) continue;
    // Of two threads that had this tid, the younger has the greater seqnum.
    if (found == nullptr || words[i].gtid > found->gtid) found = &words[i];
  }
  return found;
}

Witness::Witness(const StatusWords& words, Tally* tally) : word_(words.Find(gettid())), tally_(tally) {
  tally_->lookups.fetch_add(1, std::memory_order_relaxed);
}

void Witness::Compute(int count) {
  uint64_t value = checks_ | 1;
  for (int i = 0; i < count; ++i) {
    for (int step = 0; step < 8; ++step) {
      value ^= value << 13;
      value ^= value >> 7;
      value ^= value << 17;
    }
    asm volatile("" : "+r"(value));
    Check();
  }
}

void Witness::Flush() {
  tally_->checks.fetch_add(checks_ - flushed_checks_, std::memory_order_relaxed);
  tally_->violations.fetch_add(violations_ - flushed_violations_, std::memory_order_relaxed);
  flushed_checks_ = checks_;
  flushed_violations_ = violations_;
}

}  // namespace ghost::e2e
