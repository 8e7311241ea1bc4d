#include "shared/shmem.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/logging.h"
#include "lib/base/shared_word.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

// How many regions of the right name one Attach looks into.
constexpr int kMaxCandidates = 8;

absl::Status Unfit(absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("the shared memory is not fit to be mapped: ", why));
}

// Whether an access to the first `size` bytes of this file can never fail. (Sealed: no later than now can that change.)
absl::Status CheckMemory(int fd, size_t* size, GhostShmem::Id* id) {
  struct stat file;
  struct statfs system;
  if (fstat(fd, &file) != 0 || fstatfs(fd, &system) != 0) return ErrnoStatus(errno, "cannot look at shared memory");
  if (!S_ISREG(file.st_mode) || system.f_type != TMPFS_MAGIC) return Unfit("it is no ordinary memory");
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return Unfit("it can be made shorter (F_SEAL_SHRINK is missing)");
  if (file.st_size < static_cast<off_t>(GhostShmem::kHeaderSize)) return Unfit("it is too short");
  if (file.st_size > static_cast<off_t>(GhostShmem::kHeaderSize + GhostShmem::kMaxSize)) return Unfit("it is too long");
  *size = static_cast<size_t>(file.st_size);
  *id = {.device = file.st_dev, .inode = file.st_ino};
  return absl::OkStatus();
}

// Opens what a link of /proc/<pid>/fd leads to, if it is memory: by O_PATH first, since opening a device or a pipe,
// which it may have become meanwhile, has effects.
absl::StatusOr<ScopedFd> OpenMemory(int directory, const char* link) {
  ScopedFd path(openat(directory, link, O_PATH | O_CLOEXEC));
  if (!path.valid()) return ErrnoStatus(errno, "cannot open shared memory");
  struct stat file;
  if (fstat(path.get(), &file) != 0 || !S_ISREG(file.st_mode)) return Unfit("it is no file");
  return OpenFile(absl::StrCat("/proc/self/fd/", path.get()), O_RDWR);
}

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

absl::StatusOr<Directory> OpenDescriptors(pid_t pid, const std::string& procfs) {
  const std::string path = absl::StrCat(procfs, "/", pid, "/fd");
  Directory directory(opendir(path.c_str()));
  if (directory != nullptr) return directory;
  const int error = errno;
  absl::Status status = ErrnoStatus(error, absl::StrCat("cannot read ", path));
  if (error == ENOENT || error == ESRCH) return absl::NotFoundError(status.message());
  return status;
}

// "/memfd:ghost-shmem-<name> (deleted)"
bool IsNamed(int directory, const char* link, absl::string_view name) {
  char target[PATH_MAX];
  const ssize_t length = readlinkat(directory, link, target, sizeof(target));
  if (length <= 0) return false;
  absl::string_view rest(target, static_cast<size_t>(length));
  return absl::ConsumePrefix(&rest, "/memfd:") && absl::ConsumePrefix(&rest, GhostShmem::kNamePrefix) &&
         absl::ConsumePrefix(&rest, name) && (rest.empty() || rest == " (deleted)");
}

}  // namespace

GhostShmem::GhostShmem(int64_t version, absl::string_view name, size_t size) { status_ = Make(version, name, size); }

absl::Status GhostShmem::Make(int64_t version, absl::string_view name, size_t size) {
  if (size == 0 || size > kMaxSize) {
    return absl::InvalidArgumentError(absl::StrCat("a shared region has between 1 and ", kMaxSize, " bytes"));
  }
  const std::string full_name = absl::StrCat(kNamePrefix, name);
  ScopedFd fd(memfd_create(full_name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("cannot make the shared memory ", full_name));
  const size_t file_size = kHeaderSize + size;
  if (ftruncate(fd.get(), static_cast<off_t>(file_size)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot set up the shared memory ", full_name));
  }
  size_t checked_size = 0;
  GHOST_RETURN_IF_ERROR(CheckMemory(fd.get(), &checked_size, &id_));
  GHOST_ASSIGN_OR_RETURN(mapping_, Mapping::Map(fd.get(), file_size, /*writable=*/true));
  fd_ = std::move(fd);
  size_ = size;
  owner_ = getpid();
  header()->magic = ShmemHeader::kMagic;
  header()->layout = ShmemHeader::kLayout;
  header()->version = version;
  header()->size = size;
  header()->owner = owner_;
  return absl::OkStatus();
}

void GhostShmem::MarkReady() {
  GHOST_CHECK(fd_.valid()) << "only who has made a region says that it is ready";
  StoreShared<Order::kRelease>(header()->ready, uint32_t{1});
}

absl::Status GhostShmem::AttachFd(int64_t version, int fd) {
  *this = GhostShmem();
  size_t file_size = 0;
  Id id;
  GHOST_RETURN_IF_ERROR(CheckMemory(fd, &file_size, &id));
  GHOST_ASSIGN_OR_RETURN(Mapping mapping, Mapping::Map(fd, file_size, /*writable=*/true));
  auto* shared = reinterpret_cast<ShmemHeader*>(mapping.data());
  if (LoadShared<Order::kAcquire>(shared->ready) != 1) return absl::UnavailableError("the shared memory is not ready");
  // Each is read once: the other side may write at any time.
  const uint64_t size = LoadShared<Order::kRelaxed>(shared->size);
  if (LoadShared<Order::kRelaxed>(shared->magic) != ShmemHeader::kMagic ||
      LoadShared<Order::kRelaxed>(shared->layout) != ShmemHeader::kLayout) {
    return Unfit("it has no header of ours");
  }
  if (LoadShared<Order::kRelaxed>(shared->version) != version) return Unfit("it has another version");
  if (size == 0 || size > file_size - kHeaderSize) return Unfit("its header says a size that it has not");
#ifdef MADV_POPULATE_WRITE
  // All pages now, so that no later access has to wait for one. A kernel before 5.14 does not know this: they come when
  // they are touched.
  if (madvise(mapping.data(), mapping.size(), MADV_POPULATE_WRITE) != 0 && errno != EINVAL) {
    return Unfit("its pages cannot be had");
  }
#endif
  owner_ = LoadShared<Order::kRelaxed>(shared->owner);
  mapping_ = std::move(mapping);
  size_ = size;
  id_ = id;
  return absl::OkStatus();
}

absl::Status GhostShmem::Attach(int64_t version, absl::string_view name, pid_t pid, const std::string& procfs,
                                ShmemSearch* search) {
  *this = GhostShmem();
  ShmemSearch whole = {.max_links = INT_MAX};
  if (search == nullptr) search = &whole;
  GHOST_ASSIGN_OR_RETURN(const Directory directory, OpenDescriptors(pid, procfs));
  if (search->position != 0) seekdir(directory.get(), search->position);
  absl::Status result = absl::NotFoundError(absl::StrCat("process ", pid, " has no shared memory named ", name));
  int candidates = 0;
  for (int links = 0; links < search->max_links && candidates < kMaxCandidates; ++links) {
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) {
      search->position = 0;
      return result;
    }
    search->position = telldir(directory.get());
    if (!IsNamed(dirfd(directory.get()), entry->d_name, name)) continue;
    ++candidates;
    absl::StatusOr<ScopedFd> fd = OpenMemory(dirfd(directory.get()), entry->d_name);
    absl::Status status = fd.ok() ? AttachFd(version, fd->get()) : fd.status();
    if (status.ok()) return status;
    // One that is not ready is the better news: it will be.
    if (!absl::IsUnavailable(result)) result = std::move(status);
  }
  return result;
}

}  // namespace ghost
