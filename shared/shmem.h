// GhostShmem: a region of memory that a program offers to its scheduler, and that the scheduler finds by the program's
// process id.
//
//     program                                          scheduler
//     GhostShmem region(kVersion, "priotable", size);  GhostShmem region;
//     Fill(region.bytes());                            region.Attach(kVersion, "priotable", pid);
//     region.MarkReady();
//
// It is a memfd named "ghost-shmem-<name>": a page of header, then the region's bytes. A scheduler looks for the name
// among the links of /proc/<pid>/fd; it needs the right to do so (to be root, or the program's user), and to see the
// program in its procfs. The program may live in another pid namespace: no pid of the header is relied on.
//
// What it is not: trust. Attach takes only what cannot hurt its caller: ordinary memory (tmpfs, no huge pages) that is
// sealed against being made shorter, so that no access to it can ever be a SIGBUS, and of a size that is looked at
// once. What the bytes say is for their reader to check. Attach never waits: a region that is not ready is an error
// like any other, to be tried again when it suits.
//
// Threads: as a plain object; the memory itself is shared by whoever maps it.
#ifndef GHOST_SHARED_SHMEM_H_
#define GHOST_SHARED_SHMEM_H_

#include <sys/types.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/file.h"

namespace ghost {

// The first page of the memfd.
struct ShmemHeader {
  static constexpr uint64_t kMagic = 0x4d48535453484721;  // "!GHSTSHM"
  static constexpr uint32_t kLayout = 1;                  // of this header

  uint64_t magic;
  uint32_t layout;
  uint32_t ready;   // 1 once the maker has filled the region; stored with release
  int64_t version;  // of what is in the region, as the maker says
  uint64_t size;    // of the region, in bytes
  int32_t owner;    // the maker's process id, in its own pid namespace
};

// Where a search through the descriptors of a process stands: it may have very many, and a scheduler has little time.
struct ShmemSearch {
  int max_links = 1024;  // how many one call of Attach looks at
  long position = 0;     // where the next call goes on; 0: from the first
};

class GhostShmem {
 public:
  static constexpr size_t kHeaderSize = 4096;
  static constexpr size_t kMaxSize = size_t{64} << 20;  // of a region
  static constexpr absl::string_view kNamePrefix = "ghost-shmem-";

  // Which memory it is: equal for two mappings of the same region, in whichever process.
  struct Id {
    dev_t device = 0;
    ino_t inode = 0;
    friend auto operator<=>(const Id&, const Id&) = default;
  };

  // None: to be attached.
  GhostShmem() = default;
  // Makes a region of `size` zero bytes. If it can't, status() says why, and bytes() is null.
  GhostShmem(int64_t version, absl::string_view name, size_t size);
  GhostShmem(GhostShmem&&) = default;
  GhostShmem& operator=(GhostShmem&&) = default;

  const absl::Status& status() const { return status_; }

  // The maker: what was written until now is seen by those who attach.
  void MarkReady();

  // Maps the region `name` of the process `pid` (or of the process of the thread `pid`), as `procfs` shows it.
  //   NotFound            it has none (with `search`: none among those that were looked at; search->position is 0 if
  //                       there are no more), or there is no such process
  //   Unavailable         it has one that is not ready yet
  //   FailedPrecondition  it has one that is not fit to be mapped (not sealed, another version, …)
  //   PermissionDenied    its descriptors are not ours to see
  // If it has several, the first one that is fit and ready is taken. On error this object has no region.
  absl::Status Attach(int64_t version, absl::string_view name, pid_t pid, const std::string& procfs = "/proc",
                      ShmemSearch* search = nullptr);
  // Maps the region behind a descriptor, which may have come from anywhere and is not kept.
  absl::Status AttachFd(int64_t version, int fd);

  // The maker's pid, as it says itself; 0 if there is no region. For people to read.
  pid_t Owner() const { return owner_; }
  std::byte* bytes() const { return mapping_.data() == nullptr ? nullptr : mapping_.data() + kHeaderSize; }
  size_t size() const { return size_; }
  Id id() const { return id_; }
  // The maker's descriptor of it, to be handed to others; -1 if it was attached.
  int fd() const { return fd_.get(); }

 private:
  absl::Status Make(int64_t version, absl::string_view name, size_t size);
  ShmemHeader* header() const { return reinterpret_cast<ShmemHeader*>(mapping_.data()); }

  absl::Status status_;
  ScopedFd fd_;
  Mapping mapping_;
  size_t size_ = 0;
  pid_t owner_ = 0;
  Id id_;
};

}  // namespace ghost

#endif  // GHOST_SHARED_SHMEM_H_
