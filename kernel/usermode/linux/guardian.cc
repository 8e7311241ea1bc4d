#include "kernel/usermode/linux/guardian.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernel/usermode/linux/fuse_mount.h"
#include "kernel/usermode/linux/proc.h"
#include "kernel/usermode/linux/region_store.h"
#include "lib/base/process.h"
#include "lib/base/status.h"

namespace ghost::usermode {
namespace {

// Above agents' FIFO 50, whose spinning must not delay the rescue of their clients.
constexpr int kPriority = 60;
constexpr int kNewbornMs = 100;
// How often it looks whether ghostd is stopped; the second time in a row it continues it.
constexpr int kLookMs = 500;

// A path in shared memory; valid only while `set`.
struct SharedPath {
  std::atomic<bool> set;
  char text[PATH_MAX];

  void Store(const std::string& path) {
    set.store(false, std::memory_order_release);
    if (path.empty() || path.size() >= sizeof(text)) return;
    memcpy(text, path.c_str(), path.size() + 1);
    set.store(true, std::memory_order_release);
  }
};

uint64_t TicksSinceBoot() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  const uint64_t hz = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  return static_cast<uint64_t>(now.tv_sec) * hz + static_cast<uint64_t>(now.tv_nsec) * hz / 1'000'000'000;
}

std::vector<Tid> ThreadsOf(Tid tgid) {
  std::vector<Tid> tids;
  DIR* directory = opendir(absl::StrCat("/proc/", tgid, "/task").c_str());
  if (directory == nullptr) return tids;
  while (const dirent* entry = readdir(directory)) {
    if (Tid tid = atoi(entry->d_name); tid > 0) tids.push_back(tid);
  }
  closedir(directory);
  return tids;
}

std::vector<Tid> ChildrenOf(Tid tgid, Tid tid) {
  std::vector<Tid> children;
  FILE* file = fopen(absl::StrCat("/proc/", tgid, "/task/", tid, "/children").c_str(), "re");
  if (file == nullptr) return children;
  for (Tid child; fscanf(file, "%d", &child) == 1;) children.push_back(child);
  fclose(file);
  return children;
}

bool SetMask(Tid tid, const CpuSet& cpus) {
  const cpu_set_t mask = cpus.ToCpuSetT();
  return !cpus.empty() && sched_setaffinity(tid, sizeof(mask), &mask) == 0;
}

void RestoreTask(const SavedTask& task) {
  std::optional<ThreadStat> stat = ReadThreadStat(task.tid);
  if (!stat.has_value() || stat->start_time != task.start_time) return;  // gone, and perhaps another has its tid
  SetMask(task.tid, task.affinity);
  if (task.restore_policy) {
    const sched_param param = {.sched_priority = task.priority};
    sched_setscheduler(task.tid, task.policy, &param);
  }
  if (task.restore_nice) setpriority(PRIO_PROCESS, static_cast<id_t>(task.tid), task.nice);
  if (task.send_cont) {
    std::optional<ThreadStatus> status = ReadThreadStatus(task.tid);
    const bool stopping = status.has_value() && ((status->pending >> (SIGSTOP - 1)) & 1) != 0;
    if (stat->state == 'T' || stopping) kill(task.tid, SIGCONT);
  }
}

// A thread or process that a saved task made just before ghostd's death, which ghostd had no time to save: it was born
// with its maker's pin (and policy), and gets its maker's own.
void RestoreNewborn(Tid tid, uint64_t oldest_ticks, const SavedTask& maker) {
  std::optional<ThreadStat> stat = ReadThreadStat(tid);
  cpu_set_t mask;
  if (!stat.has_value() || stat->start_time < oldest_ticks || sched_getaffinity(tid, sizeof(mask), &mask) != 0) return;
  if (CPU_COUNT(&mask) == 1) SetMask(tid, maker.affinity);
  if (maker.restore_policy && sched_getscheduler(tid) == SCHED_BATCH) {
    const sched_param param = {.sched_priority = maker.priority};
    sched_setscheduler(tid, maker.policy, &param);
  }
}

void RestoreNewborns(const std::vector<const SavedTask*>& saved) {
  absl::flat_hash_set<Tid> known, processes;
  for (const SavedTask* task : saved) known.insert(task->tid);
  const uint64_t newborn_ticks = static_cast<uint64_t>(sysconf(_SC_CLK_TCK)) * kNewbornMs / 1000;
  const uint64_t oldest_ticks = TicksSinceBoot() - newborn_ticks;
  for (const SavedTask* task : saved) {
    std::optional<ThreadStatus> status = ReadThreadStatus(task->tid);
    if (!status.has_value() || !processes.insert(status->tgid).second) continue;
    for (Tid thread : ThreadsOf(status->tgid)) {
      if (!known.contains(thread)) RestoreNewborn(thread, oldest_ticks, *task);
      for (Tid child : ChildrenOf(status->tgid, thread)) {
        if (!known.contains(child)) RestoreNewborn(child, oldest_ticks, *task);
      }
    }
  }
}

// Nothing of ghostd's stays open here that somebody might wait for the end of: its stdout above all.
void CloseAllBut(std::vector<int> keep) {
  const int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2; ++fd) dup2(null, fd);
  for (int fd : {0, 1, 2}) keep.push_back(fd);
  std::sort(keep.begin(), keep.end());
  unsigned first = 0;
  for (int fd : keep) {
    if (fd < 0) continue;
    if (static_cast<unsigned>(fd) > first) syscall(SYS_close_range, first, static_cast<unsigned>(fd) - 1, 0);
    first = static_cast<unsigned>(fd) + 1;
  }
  syscall(SYS_close_range, first, ~0u, 0);
}

void BecomeBackground() {
  setsid();
  prctl(PR_SET_NAME, "ghostd-guardian");
  // Should it be stopped when it is needed: ghostd's end continues it.
  prctl(PR_SET_PDEATHSIG, SIGCONT);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) ::signal(signal, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (chdir("/") != 0) return;  // only so that no mount stays busy
  const sched_param param = {.sched_priority = kPriority};
  sched_setscheduler(0, SCHED_FIFO, &param);  // without the right to: as it is
}

// A kernel can't be stopped, and neither must ghostd be: the threads that it holds would stand still, too. (One that a
// debugger has stopped is in state 't', and stays so.)
void ContinueStopped(int ghostd_pidfd, pid_t ghostd, bool* was_stopped) {
  std::optional<ThreadStat> stat = ReadThreadStat(ghostd);
  const bool stopped = stat.has_value() && stat->state == 'T';
  if (stopped && std::exchange(*was_stopped, true)) {
    syscall(SYS_pidfd_send_signal, ghostd_pidfd, SIGCONT, nullptr, 0);
  }
  *was_stopped = stopped;
}

// Waits for ghostd's end, or its order to finish. The pipe closes a little before the kernel lets go of ghostd's
// tracees; the pidfd tells when it has.
void WaitForEnd(int ghostd_pidfd, pid_t ghostd, int pipe) {
  bool was_stopped = false;
  pollfd news = {pipe, POLLIN, 0};
  while (poll(&news, 1, kLookMs) <= 0) ContinueStopped(ghostd_pidfd, ghostd, &was_stopped);
  char order;
  ssize_t n;
  do {
    n = read(pipe, &order, 1);
  } while (n < 0 && errno == EINTR);
  if (n > 0 || ghostd_pidfd < 0) return;
  pollfd end = {ghostd_pidfd, POLLIN, 0};
  while (poll(&end, 1, -1) < 0 && errno == EINTR) {
  }
}

}  // namespace

struct Guardian::Slot {
  std::atomic<bool> valid;
  SavedTask task;
};

struct Guardian::Table {
  SharedPath mount;
  std::atomic<bool> remove_mount_directory;
  SharedPath shared_memory;
  int capacity;
  std::atomic<int> used;  // slots from here on have never been valid
  Slot slots[];

  void Restore() {
    std::vector<const SavedTask*> saved;
    for (int i = 0; i < used.load(std::memory_order_acquire); ++i) {
      if (slots[i].valid.load(std::memory_order_acquire)) saved.push_back(&slots[i].task);
    }
    for (const SavedTask* task : saved) RestoreTask(*task);
    RestoreNewborns(saved);
    if (mount.set) {
      // Only what has lost its server: never a living file system at the same path.
      while (IsDeadMount(mount.text) && DetachMount(mount.text)) {
      }
      if (remove_mount_directory) rmdir(mount.text);
    }
    if (shared_memory.set) RegionStore::RemoveDirectory(shared_memory.text);
  }
};

Guardian::Guardian(Table* table, size_t table_size, std::vector<int> keep_fds)
    : table_(table), table_size_(table_size), keep_fds_(std::move(keep_fds)) {
  slots_.reserve(static_cast<size_t>(table->capacity));
}

absl::StatusOr<std::unique_ptr<Guardian>> Guardian::Start(const Options& options) {
  const size_t size = sizeof(Table) + sizeof(Slot) * static_cast<size_t>(options.max_tasks);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return ErrnoStatus(errno, "guardian: no memory");
  auto* table = static_cast<Table*>(memory);  // zeroes: nothing set, no slot valid
  table->capacity = options.max_tasks;
  std::unique_ptr<Guardian> guardian(new Guardian(table, size, options.keep_fds));
  GHOST_RETURN_IF_ERROR(guardian->Fork());
  return guardian;
}

absl::Status Guardian::Fork() {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "guardian: pipe");
  ScopedFd read_end(pipe_fds[0]), write_end(pipe_fds[1]);
  absl::StatusOr<ScopedFd> ghostd = OpenPidfd(getpid());
  // A signal that comes before the child ignores it must wait until it does.
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  const pid_t pid = fork();
  const int fork_error = errno;
  if (pid != 0) sigprocmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return ErrnoStatus(fork_error, "guardian: fork");
  if (pid == 0) {
    std::vector<int> keep = keep_fds_;
    const int ghostd_fd = ghostd.ok() ? ghostd->get() : -1;
    keep.push_back(ghostd_fd);
    keep.push_back(read_end.get());
    CloseAllBut(std::move(keep));
    BecomeBackground();
    WaitForEnd(ghostd_fd, getppid(), read_end.get());
    table_->Restore();
    _exit(0);
  }
  pid_ = pid;
  pipe_ = std::move(write_end);
  return absl::OkStatus();
}

absl::Status Guardian::Restart() {
  kill(pid_, SIGKILL);  // nothing, if it is dead: it is a zombie still
  pipe_.reset();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return Fork();
}

Guardian::~Guardian() {
  Dismiss();
  munmap(table_, table_size_);
}

bool Guardian::Save(const SavedTask& task) {
  auto it = slots_.find(task.tid);
  int index;
  if (it != slots_.end()) {
    index = it->second;
  } else if (!free_slots_.empty()) {
    index = free_slots_.back();
    free_slots_.pop_back();
  } else if (table_->used.load(std::memory_order_relaxed) < table_->capacity) {
    index = table_->used.load(std::memory_order_relaxed);
    table_->used.store(index + 1, std::memory_order_release);
  } else {
    return false;
  }
  slots_[task.tid] = index;
  Slot& slot = table_->slots[index];
  // A death between these lines loses this one entry at most; it never shows a half-written one.
  slot.valid.store(false, std::memory_order_seq_cst);
  slot.task = task;
  slot.valid.store(true, std::memory_order_release);
  return true;
}

void Guardian::Forget(Tid tid) {
  auto it = slots_.find(tid);
  if (it == slots_.end()) return;
  table_->slots[it->second].valid.store(false, std::memory_order_release);
  free_slots_.push_back(it->second);
  slots_.erase(it);
}

void Guardian::SetMount(const std::string& path, bool remove_mount_directory) {
  table_->remove_mount_directory = remove_mount_directory;
  table_->mount.Store(path);
}

void Guardian::SetSharedMemory(const std::string& directory) { table_->shared_memory.Store(directory); }

ScopedFd Guardian::OpenEnd() const {
  absl::StatusOr<ScopedFd> pidfd = OpenPidfd(pid_);
  return pidfd.ok() ? *std::move(pidfd) : ScopedFd();
}

void Guardian::Dismiss() {
  if (pid_ <= 0) return;
  [[maybe_unused]] ssize_t n = write(pipe_.get(), "q", 1);
  pipe_.reset();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

}  // namespace ghost::usermode
