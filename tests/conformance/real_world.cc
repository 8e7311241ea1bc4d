#include "tests/conformance/real_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernel/abi/abi_version.h"
#include "kernel/usermode/core/dialect.h"
#include "lib/base/cpu_set.h"
#include "lib/base/file.h"
#include "lib/base/futex.h"
#include "lib/base/logging.h"
#include "lib/base/poll_until.h"
#include "lib/base/process.h"
#include "lib/base/status.h"
#include "lib/base/time.h"
#include "tests/conformance/slots.h"

namespace ghost::conformance {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr int kGhostdCpus = 4;
constexpr int kMaxFdsOfACase = 256;

class RealActor : public Actor {
 public:
  // `process` 0: it leads its own.
  RealActor(SharedMemory* memory, uint32_t index, pid_t process, uint32_t* next_slot)
      : slot_(memory->slot(index)), process_(process), next_slot_(next_slot) {}

  pid_t tid() const override {
    const pid_t tid = slot_.tid.load();
    return tid != 0 ? tid : tid_;
  }
  pid_t process() const override { return process_ != 0 ? process_ : tid(); }
  void SetTid(pid_t tid) { tid_ = tid; }

  void Post(const Call& call) override {
    GHOST_CHECK(Done()) << "a second call while one is under way";
    slot_.call = call;
    if (call.op == Op::kFork || call.op == Op::kThread) {
      GHOST_CHECK(*next_slot_ < SharedMemory::kMaxSlots);
      last_made_ = {call.op, *next_slot_};
      slot_.call.a[0] = (*next_slot_)++;
    }
    slot_.posted.fetch_add(1);
    Ring();
  }
  bool Done() override { return slot_.finished.load() == slot_.posted.load(); }
  int64_t result() override { return slot_.result.load(); }
  void SetSpinning(bool spinning) override {
    slot_.spinning.store(spinning ? 1 : 0);
    Ring();
  }
  void Release() override {
    slot_.gate.fetch_add(1);
    FutexWake(slot_.gate);
  }
  // The call that made an actor, and the slot of that.
  const std::pair<Op, uint32_t>& last_made() const { return last_made_; }
  bool Asleep() override { return State() == 'S'; }
  bool Ended() override {
    const char state = State();
    return state == '\0' || state == 'Z' || state == 'X';
  }

 private:
  // As in /proc; 0: there is no such thread.
  char State() {
    constexpr std::string_view kKey = "\nState:\t";
    const auto status = ReadFile(absl::StrCat("/proc/", process(), "/task/", tid(), "/status"));
    const size_t at = status.ok() ? status->find(kKey) : std::string::npos;
    return at == std::string::npos ? '\0' : (*status)[at + kKey.size()];
  }
  void Ring() {
    slot_.bell.fetch_add(1);
    FutexWake(slot_.bell);
  }

  Slot& slot_;
  const pid_t process_;
  uint32_t* const next_slot_;
  pid_t tid_ = 0;
  std::pair<Op, uint32_t> last_made_ = {Op::kExit, 0};
};

class SelfActor : public Actor {
 public:
  explicit SelfActor(SharedMemory* memory) : memory_(*memory) {}
  pid_t tid() const override { return getpid(); }
  pid_t process() const override { return getpid(); }
  void Post(const Call& call) override { result_ = Perform(call, memory_, nullptr); }
  bool Done() override { return true; }
  int64_t result() override { return result_; }
  void SetSpinning(bool) override {}
  void Release() override {}
  bool Asleep() override { return false; }
  bool Ended() override { return false; }

 private:
  SharedMemory& memory_;
  int64_t result_ = 0;
};

// A ghostd of the suite's own.
class Ghostd {
 public:
  Ghostd(std::string program, uint32_t abi, std::string directory)
      : program_(std::move(program)), abi_(abi), directory_(std::move(directory)) {}
  ~Ghostd() {
    if (process_ != nullptr) Stop();
    unlink(log().c_str());
    rmdir(directory_.c_str());
  }

  std::string mount() const { return directory_ + "/ghost"; }

  absl::Status Start() {
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot make a pipe");
    ScopedFd out(pipe_fds[0]), in(pipe_fds[1]);
    const std::string mount_flag = "--mount=" + mount(), abi_flag = absl::StrCat("--abi=", abi_),
                      cpus_flag = absl::StrCat("--cpus=", kGhostdCpus), log_path = log();
    auto child = ChildProcess::Fork([&] {
      dup2(in.get(), STDOUT_FILENO);
      const int log_fd = open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      if (log_fd >= 0) dup2(log_fd, STDERR_FILENO);
      execl(program_.c_str(), "ghostd", "--check", mount_flag.c_str(), abi_flag.c_str(), cpus_flag.c_str(), nullptr);
      return 127;
    });
    if (!child.ok()) return child.status();
    process_ = std::make_unique<ChildProcess>(*std::move(child));
    in.reset();
    pollfd poller = {.fd = out.get(), .events = POLLIN, .revents = 0};
    char text[256];
    // Its first line says that it serves.
    if (poll(&poller, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))) == 1 &&
        read(out.get(), text, sizeof(text)) > 0) {
      out_ = std::move(out);  // it goes on to print
      return absl::OkStatus();
    }
    const std::string said = Log();
    process_.reset();
    return absl::UnavailableError(absl::StrCat("ghostd (", program_, ") does not start: ", said));
  }

  bool Lives() const { return !WaitForExit(process_->pidfd(), Time::Now()); }
  std::string Log() const { return std::string(absl::StripAsciiWhitespace(ReadFile(log()).value_or("no log"))); }

  std::string Stop() {
    SendSignal(process_->pidfd(), SIGTERM).IgnoreError();
    const bool ended = WaitForExit(process_->pidfd(), Time::Now() + kPatience);
    const std::string how = ended ? process_->Wait().ToString() : "it does not end";
    process_.reset();
    return how;
  }

 private:
  std::string log() const { return directory_ + "/log"; }

  const std::string program_;
  const uint32_t abi_;
  const std::string directory_;
  std::unique_ptr<ChildProcess> process_;
  ScopedFd out_;
};

class RealWorld : public World {
 public:
  RealWorld(std::unique_ptr<Ghostd> ghostd, Traits traits)
      : ghostd_(std::move(ghostd)), traits_(std::move(traits)), self_(&memory_) {
    // Grandchildren that outlive their parent are ours to reap.
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (const std::string& name : List("")) others_.insert(name);
    const ScopedFd probe(dup(memory_.fd()));
    first_free_fd_ = probe.get();
  }
  ~RealWorld() override { EndCase(); }

  const Traits& traits() const override { return traits_; }
  Actor& Self() override { return self_; }

  Actor* NewProcess() override {
    const uint32_t index = next_slot_++;
    GHOST_CHECK(index < SharedMemory::kMaxSlots);
    const pid_t suite = getpid();
    const pid_t pid = fork();
    GHOST_CHECK(pid >= 0) << strerror(errno);
    if (pid == 0) {
      if (!DieWithParent(suite).ok()) _exit(1);
      setpgid(0, 0);
      ActorMain(memory_, index);
    }
    processes_.push_back(pid);
    actors_.push_back(std::make_unique<RealActor>(&memory_, index, 0, &next_slot_));
    RealActor* actor = actors_.back().get();
    actor->SetTid(pid);
    Await([&] { return memory_.slot(index).tid.load() != 0; });
    return actor;
  }

  Actor* Child() override;
  void Kill(Actor& actor, int signal) override { kill(actor.process(), signal); }
  bool Await(absl::FunctionRef<bool()> done) override { return PollUntil(kPatience, done); }
  int64_t NowNs() override { return Time::Now().ns(); }

  void* Scratch(size_t size) override {
    std::byte* memory = memory_.scratch() + scratch_used_;
    scratch_used_ += (size + 63) / 64 * 64;
    GHOST_CHECK(scratch_used_ <= SharedMemory::kScratchSize);
    return memory;
  }

  std::byte* Map(int fd, size_t size, bool writable) override {
    void* memory = mmap(nullptr, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return nullptr;
    mappings_.emplace_back(memory, size);
    return static_cast<std::byte*>(memory);
  }

  std::optional<FileInfo> Stat(const std::string& path) override {
    struct stat info;
    if (stat(absl::StrCat(traits_.root, "/", path).c_str(), &info) != 0) return std::nullopt;
    return FileInfo{
        .mode = info.st_mode, .uid = info.st_uid, .gid = info.st_gid, .size = static_cast<uint64_t>(info.st_size)};
  }

  std::vector<std::string> List(const std::string& path) override {
    std::vector<std::string> names;
    DIR* directory = opendir(absl::StrCat(traits_.root, "/", path).c_str());
    if (directory == nullptr) return names;
    while (const dirent* entry = readdir(directory)) {
      if (entry->d_name[0] != '.') names.push_back(entry->d_name);
    }
    closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string EndCase() override;

 private:
  // A thread of `maker`'s process, or one of its children, that is no actor yet; 0: none.
  pid_t FindNewcomer(RealActor& maker);
  std::string ReapAll();
  std::string RemoveEnclaves();

  SharedMemory memory_;
  std::unique_ptr<Ghostd> ghostd_;  // null: the kernel is somebody else's
  const Traits traits_;
  SelfActor self_;
  std::set<std::string> others_;  // what was in the root before
  std::vector<std::unique_ptr<RealActor>> actors_;
  std::vector<pid_t> processes_;
  std::vector<std::pair<void*, size_t>> mappings_;
  uint32_t next_slot_ = 0;
  size_t scratch_used_ = 0;
  int first_free_fd_ = 0;
};

Actor* RealWorld::Child() {
  const uint32_t index = next_slot_ - 1;
  for (size_t i = 0; i < actors_.size(); ++i) {
    RealActor& maker = *actors_[i];
    if (maker.last_made().second != index || maker.last_made().first == Op::kExit) continue;
    const bool thread = maker.last_made().first == Op::kThread;
    actors_.push_back(std::make_unique<RealActor>(&memory_, index, thread ? maker.process() : 0, &next_slot_));
    pid_t tid = 0;
    // It says who it is when it runs; but it may be a held task.
    Await([&] { return actors_.back()->tid() != 0 || (tid = FindNewcomer(maker)) != 0; });
    actors_.back()->SetTid(tid);
    if (!thread) processes_.push_back(actors_.back()->tid());
    return actors_.back().get();
  }
  return &self_;  // nothing was made: the case has failed before
}

pid_t RealWorld::FindNewcomer(RealActor& maker) {
  const std::string task = absl::StrCat("/proc/", maker.process(), "/task");
  std::vector<std::string> candidates;
  if (maker.last_made().first == Op::kFork) {
    const std::string children = ReadFile(absl::StrCat(task, "/", maker.tid(), "/children")).value_or("");
    candidates = absl::StrSplit(children, ' ', absl::SkipWhitespace());
  } else if (DIR* directory = opendir(task.c_str()); directory != nullptr) {
    while (const dirent* entry = readdir(directory)) candidates.push_back(entry->d_name);
    closedir(directory);
  }
  for (const std::string& candidate : candidates) {
    pid_t tid = 0;
    if (!absl::SimpleAtoi(candidate, &tid)) continue;
    if (std::none_of(actors_.begin(), actors_.end(), [&](const auto& actor) { return actor->tid() == tid; })) {
      return tid;
    }
  }
  return 0;
}

std::string RealWorld::ReapAll() {
  for (pid_t pid : processes_) kill(pid, SIGKILL);
  std::string problem;
  for (pid_t pid : processes_) {
    const bool gone = Await([&] { return waitpid(pid, nullptr, WNOHANG | __WALL) != 0; });
    if (!gone) absl::StrAppend(&problem, "process ", pid, " was killed, and does not end; ");
  }
  processes_.clear();
  actors_.clear();
  return problem;
}

std::string RealWorld::RemoveEnclaves() {
  std::string problem;
  for (const std::string& name : List("")) {
    if (!absl::StartsWith(name, "enclave_") || others_.contains(name)) continue;
    // Gone meanwhile, or going: either is fine.
    WriteFile(absl::StrCat(traits_.root, "/", name, "/ctl"), "destroy").IgnoreError();
    const bool gone = Await([&] { return !Stat(name).has_value(); });
    if (!gone) absl::StrAppend(&problem, name, " does not go away; ");
  }
  return problem;
}

std::string RealWorld::EndCase() {
  for (auto& [memory, size] : mappings_) munmap(memory, size);
  mappings_.clear();
  std::string problem = ReapAll() + RemoveEnclaves();
  for (uint32_t i = 0; i < next_slot_; ++i) new (&memory_.slot(i)) Slot();
  next_slot_ = 0;
  std::memset(memory_.scratch(), 0, scratch_used_);
  scratch_used_ = 0;
  // Descriptors that the case has left open, but for the ones from before it.
  for (int fd = first_free_fd_; fd < first_free_fd_ + kMaxFdsOfACase; ++fd) close(fd);
  if (ghostd_ != nullptr && !ghostd_->Lives()) {
    absl::StrAppend(&problem, "ghostd has ended: ", ghostd_->Log(), "; ");
    ghostd_->Stop();
    if (absl::Status started = ghostd_->Start(); !started.ok()) absl::StrAppend(&problem, started.message(), "; ");
  }
  return problem;
}

// Numbers of the machine that Linux tells.
int NumberIn(const char* path, int otherwise) {
  int number = 0;
  return absl::SimpleAtoi(ReadFile(path).value_or(""), &number) ? number : otherwise;
}

Traits RealTraits(const std::string& root, const AbiVersion& abi) {
  struct statfs info = {};
  const bool user_mode = statfs(root.c_str(), &info) == 0 && info.f_type == kFuseMagic;
  Traits traits{.name = user_mode ? "ghostd" : "ghostfs", .root = root, .user_mode = user_mode};
  traits.ghost_policy = traits.tears_mappings = !user_mode;
  CpuSet possible;
  const std::string text = ReadFile("/sys/devices/system/cpu/possible").value_or("0");
  const bool parsed = ParseCpuList(text, &possible) == CpuParseError::kOk;
  const int machine_cpus = parsed ? possible.size() : 1;
  traits.num_cpus = user_mode ? kGhostdCpus : machine_cpus;
  traits.nr_cpus = user_mode ? CpuSet::kMaxCpus : NumberIn("/sys/devices/system/cpu/kernel_max", 63) + 1;
  // Up to 73 an agent's CPU is where its thread is pinned, so it is one of the machine's.
  const bool any = user_mode && abi.become_agent_takes_cpu;
  traits.agent_cpus = any ? kGhostdCpus : std::min(traits.num_cpus, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
  return traits;
}

}  // namespace

absl::StatusOr<std::unique_ptr<World>> OpenRealWorld(const std::string& root, uint32_t abi) {
  const std::string version = ReadFile(root + "/version").value_or("");
  if (!absl::StrContains("\n" + version, absl::StrCat("\n", abi, "\n"))) {
    return WithHint(WithExitCode(absl::FailedPreconditionError(absl::StrCat(root, " does not offer ABI ", abi)),
                                 ExitCode::kNoKernel),
                    absl::StrCat("see what it offers: cat ", root, "/version"));
  }
  return std::make_unique<RealWorld>(nullptr, RealTraits(root, *FindAbi(abi)));
}

absl::StatusOr<std::unique_ptr<World>> StartGhostd(const std::string& path, uint32_t abi) {
  char directory[] = "/tmp/conformance-XXXXXX";
  if (mkdtemp(directory) == nullptr) return ErrnoStatus(errno, "cannot make a directory in /tmp");
  auto ghostd = std::make_unique<Ghostd>(path, abi, directory);
  GHOST_RETURN_IF_ERROR(ghostd->Start());
  Traits traits = RealTraits(ghostd->mount(), *FindAbi(abi));
  return std::make_unique<RealWorld>(std::move(ghostd), traits);
}

}  // namespace ghost::conformance
