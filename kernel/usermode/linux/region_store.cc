#include "kernel/usermode/linux/region_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernel/usermode/linux/region_guard.h"
#include "lib/base/status.h"

namespace ghost::usermode {
namespace {

constexpr std::string_view kPrefix = "ghostd-";
constexpr int kMaxDirectories = 10000;

std::vector<std::string> ListDirectory(const std::string& path) {
  std::vector<std::string> names;
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return names;
  while (const dirent* entry = readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(directory);
  return names;
}

// Opens a directory and takes its lock. Invalid if there is none, another process holds it, or it isn't at `path` any
// more: a starting ghostd may have taken it for a dead one's between mkdir and flock.
ScopedFd LockDirectory(const std::string& path) {
  ScopedFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat opened, named;
  if (!fd.valid() || flock(fd.get(), LOCK_EX | LOCK_NB) != 0 || fstat(fd.get(), &opened) != 0 ||
      stat(path.c_str(), &named) != 0 || opened.st_ino != named.st_ino || opened.st_dev != named.st_dev ||
      opened.st_uid != geteuid()) {
    fd.reset();
  }
  return fd;
}

void RemoveStale(const std::string& base) {
  for (const std::string& name : ListDirectory(base)) {
    if (!std::string_view(name).starts_with(kPrefix)) continue;
    const std::string path = absl::StrCat(base, "/", name);
    if (LockDirectory(path).valid()) RegionStore::RemoveDirectory(path);
  }
}

// Whether a mapped file there stays in memory.
bool IsMemory(const std::string& path) {
  struct statfs fs;
  return statfs(path.c_str(), &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

}  // namespace

std::vector<std::string> RegionStore::DefaultBases() {
  std::vector<std::string> bases = {"/dev/shm"};
  if (const char* runtime = getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime != '\0') bases.push_back(runtime);
  bases.push_back("/run");
  return bases;
}

absl::StatusOr<std::unique_ptr<RegionStore>> RegionStore::Create(const std::vector<std::string>& bases) {
  int error = ENOENT;
  for (const std::string& base : bases) {
    if (!IsMemory(base)) continue;
    RemoveStale(base);
    for (int n = 1; n <= kMaxDirectories; ++n) {
      std::string path = absl::StrCat(base, "/ghostd-", n);
      if (mkdir(path.c_str(), 0711) != 0) {
        if (errno == EEXIST) continue;
        error = errno;
        break;
      }
      ScopedFd lock = LockDirectory(path);
      struct stat attributes;
      if (!lock.valid() || fstat(lock.get(), &attributes) != 0) continue;
      // Whatever the umask: others must reach the files, whose own modes decide.
      fchmod(lock.get(), 0711);
      return std::unique_ptr<RegionStore>(new RegionStore(std::move(path), std::move(lock), attributes.st_dev));
    }
  }
  return WithHint(
      ErrnoStatus(error, absl::StrCat("shared memory: no writable tmpfs among ", absl::StrJoin(bases, ", "))),
      "mount one: mount -t tmpfs -o mode=1777 tmpfs /dev/shm");
}

RegionStore::RegionStore(std::string directory, ScopedFd lock, dev_t device)
    : directory_(std::move(directory)), lock_(std::move(lock)), device_(device) {}

RegionStore::~RegionStore() {
  RemoveAll();
  for (const auto& [id, entry] : entries_) region_guard::Remove(entry.mapping.data());
}

bool RegionStore::Recreate() {
  if (removed_ || mkdir(directory_.c_str(), 0711) != 0) return false;
  lock_ = LockDirectory(directory_);
  if (lock_.valid()) fchmod(lock_.get(), 0711);
  return lock_.valid();
}

std::optional<Region> RegionStore::Allocate(const std::string& name, size_t size) {
  const uint64_t id = next_id_++;
  std::string file_name = name;
  std::replace(file_name.begin(), file_name.end(), '/', '.');
  Entry entry;
  // The id, because an enclave's name may come back while the old one's files are still held.
  entry.path = absl::StrCat(directory_, "/", file_name, ".", id);
  entry.mode = 0600;
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
  ScopedFd fd(open(entry.path.c_str(), flags, entry.mode));
  if (!fd.valid() && errno == ENOENT && Recreate()) fd.reset(open(entry.path.c_str(), flags, entry.mode));
  if (!fd.valid()) return std::nullopt;
  struct stat attributes;
  if (posix_fallocate(fd.get(), 0, static_cast<off_t>(size)) == 0 && fstat(fd.get(), &attributes) == 0) {
    absl::StatusOr<Mapping> mapping = Mapping::Map(fd.get(), size, /*writable=*/true);
    if (mapping.ok()) {
      entry.mapping = *std::move(mapping);
      entry.inode = attributes.st_ino;
      entry.uid = attributes.st_uid;
      entry.gid = attributes.st_gid;
      // Touched now rather than when a message is posted. A kernel before 5.14 has no such advice.
      madvise(entry.mapping.data(), size, MADV_POPULATE_WRITE);
      const Region region = {.id = id, .address = entry.mapping.data(), .size = size};
      region_guard::Add(region.address, size);
      ids_[entry.inode] = id;
      entries_[id] = std::move(entry);
      return region;
    }
  }
  unlink(entry.path.c_str());
  return std::nullopt;
}

void RegionStore::Free(uint64_t id) {
  auto it = entries_.find(id);
  if (it == entries_.end()) return;
  unlink(it->second.path.c_str());
  region_guard::Remove(it->second.mapping.data());
  ids_.erase(it->second.inode);
  entries_.erase(it);
}

void RegionStore::SetAccess(uint64_t id, uint32_t mode, uid_t uid, gid_t gid) {
  auto it = entries_.find(id);
  if (it == entries_.end()) return;
  Entry& entry = it->second;
  if (entry.mode == mode && entry.uid == uid && entry.gid == gid) return;
  // Failing is harmless: the file then stays its maker's, and others see EACCES.
  if ((entry.uid != uid || entry.gid != gid) && lchown(entry.path.c_str(), uid, gid) != 0) {
    if (lchown(entry.path.c_str(), static_cast<uid_t>(-1), gid) != 0) errno = 0;
  }
  chmod(entry.path.c_str(), mode & 0777);
  entry.mode = mode;
  entry.uid = uid;
  entry.gid = gid;
}

std::string RegionStore::Path(uint64_t id) const {
  auto it = entries_.find(id);
  return it == entries_.end() ? std::string() : it->second.path;
}

std::optional<uint64_t> RegionStore::IdOf(dev_t device, ino_t inode) const {
  if (device != device_) return std::nullopt;
  auto it = ids_.find(inode);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

void RegionStore::RemoveAll() {
  if (std::exchange(removed_, true)) return;
  RemoveDirectory(directory_);
  lock_.reset();
}

void RegionStore::RemoveDirectory(const std::string& directory) {
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);  // whatever somebody has put there
}

}  // namespace ghost::usermode
