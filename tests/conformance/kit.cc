#include "tests/conformance/kit.h"

#include <sched.h>

#include <cerrno>
#include <cstring>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernel/usermode/core/dialect.h"

namespace ghost::conformance {
namespace {

constexpr size_t kTextSize = 8192;

Actor& ActorOf(Run& run, Actor* by) { return by == nullptr ? run.world().Self() : *by; }

// Not taken by anybody else in this ghostfs.
uint64_t FreeId(Run& run) {
  uint64_t id = 7000;
  while (run.world().Stat(absl::StrCat("enclave_", id)).has_value()) ++id;
  return id;
}

}  // namespace

bool Post(Run& run, Actor& actor, const Call& call) {
  if (run.over()) return false;
  if (actor.Done()) {
    actor.Post(call);
    return true;
  }
  run.Differ(absl::StrCat("thread ", actor.tid(), " is still in the call before this one"));
  return false;
}

int64_t Do(Run& run, Actor& actor, const Call& call) {
  if (!Post(run, actor, call)) return -ETIMEDOUT;
  if (!run.Await(absl::StrCat("the end of a call of thread ", actor.tid()), [&] { return actor.Done(); })) {
    return -ETIMEDOUT;
  }
  return actor.result();
}

char* Put(Run& run, std::string_view text) {
  auto* copy = static_cast<char*>(run.world().Scratch(text.size() + 1));
  std::memcpy(copy, text.data(), text.size());
  return copy;
}

int64_t Open(Run& run, const std::string& path, int flags, Actor* by) {
  const char* full = Put(run, absl::StrCat(run.traits().root, "/", path));
  return Do(run, ActorOf(run, by), {Op::kOpen, {Address(full), static_cast<uint64_t>(flags)}});
}

void Close(Run& run, int64_t fd, Actor* by) { Do(run, ActorOf(run, by), {Op::kClose, {static_cast<uint64_t>(fd)}}); }

int64_t WriteFd(Run& run, int64_t fd, std::string_view text, Actor* by) {
  return Do(run, ActorOf(run, by), {Op::kWrite, {static_cast<uint64_t>(fd), Address(Put(run, text)), text.size()}});
}

std::string ReadFd(Run& run, int64_t fd, uint64_t offset, Actor* by) {
  auto* text = static_cast<char*>(run.world().Scratch(kTextSize));
  const int64_t size =
      Do(run, ActorOf(run, by), {Op::kRead, {static_cast<uint64_t>(fd), Address(text), kTextSize, offset}});
  return size < 0 ? ResultText(size) : std::string(text, static_cast<size_t>(size));
}

int64_t Write(Run& run, const std::string& path, std::string_view text, Actor* by) {
  const int64_t fd = Open(run, path, O_WRONLY, by);
  if (fd < 0) return fd;
  const int64_t result = WriteFd(run, fd, text, by);
  Close(run, fd, by);
  return result;
}

std::string Read(Run& run, const std::string& path, Actor* by) {
  const int64_t fd = Open(run, path, O_RDONLY, by);
  if (fd < 0) return ResultText(fd);
  const std::string text = ReadFd(run, fd, 0, by);
  Close(run, fd, by);
  return text;
}

Actor& NewThread(Run& run, Actor& of) {
  run.Want("kThread", int64_t{0}, std::min<int64_t>(Do(run, of, {Op::kThread}), 0));
  return *run.world().Child();
}

int64_t SetAffinity(Run& run, Actor& by, pid_t tid, uint64_t mask) {
  return Do(run, by, {Op::kSetAffinity, {static_cast<uint64_t>(tid), mask}});
}

// ---- Enclaves ----

Enclave::Enclave(conformance::Run& run, const EnclaveOptions& options)
    : run_(run), id_(FreeId(run)), name_(absl::StrCat("enclave_", id_)) {
  std::string create = absl::StrCat("create ", id_, " ", run.abi().number);
  if (!options.create_options.empty()) absl::StrAppend(&create, " ", options.create_options);
  run.Want(create, ResultText(static_cast<int64_t>(create.size())), ResultText(conformance::Write(run, "ctl", create)));
  if (!options.cpus.empty()) {
    run.Want("writing cpulist", ResultText(static_cast<int64_t>(options.cpus.size())),
             ResultText(Write("cpulist", options.cpus)));
  }
  if (options.words) run.Want("create sw_region", std::string("20"), ResultText(Write("ctl", "create sw_region 0 0")));
  ctl_ = static_cast<int>(Open(run, Path("ctl"), O_RDWR));
}

int64_t Enclave::IoctlAt(unsigned long number, uint64_t address, Actor* by) {
  return Do(run_, ActorOf(run_, by), {Op::kIoctl, {static_cast<uint64_t>(ctl_), number, address}});
}

int64_t Enclave::CreateQueue(const ghost_ioc_create_queue& create, uint64_t* mapsize, Actor* by) {
  ghost_ioc_create_queue out = {};
  const int64_t result = Ioctl(GHOST_IOC_CREATE_QUEUE, create, by, &out);
  if (mapsize != nullptr) *mapsize = out.mapsize;
  if (result < 0 || !run_.traits().user_mode) return result;
  return Open(run_, Path(absl::StrCat("queue_", result)), O_RDWR, by);
}

int64_t Enclave::SetDefaultQueue(int fd) {
  return Ioctl(GHOST_IOC_SET_DEFAULT_QUEUE, ghost_ioc_set_default_queue{.fd = fd});
}

int64_t Enclave::ConfigWakeup(int fd, const std::vector<ghost_agent_wakeup>& wakeups, int flags) {
  auto* copy =
      static_cast<ghost_agent_wakeup*>(run_.world().Scratch(sizeof(ghost_agent_wakeup) * (wakeups.size() + 1)));
  std::copy(wakeups.begin(), wakeups.end(), copy);
  const ghost_ioc_config_queue_wakeup config = {
      .qfd = fd, .pad = 0, .w = Address(copy), .ninfo = static_cast<int>(wakeups.size()), .flags = flags};
  return Ioctl(GHOST_IOC_CONFIG_QUEUE_WAKEUP, config);
}

int64_t Enclave::Associate(int fd, int64_t gtid, uint32_t barrier, int flags, uint32_t type) {
  const ghost_ioc_assoc_queue assoc = {.fd = fd,
                                       .pad = 0,
                                       .src = {.type = type, .pad = 0, .arg = static_cast<uint64_t>(gtid)},
                                       .barrier = barrier,
                                       .flags = flags};
  return Ioctl(GHOST_IOC_ASSOC_QUEUE, assoc);
}

int64_t Enclave::GetInfo(uint32_t type, uint64_t arg, ghost_sw_info* info) {
  ghost_ioc_sw_get_info out = {};
  const ghost_ioc_sw_get_info get = {.request = {.type = type, .pad = 0, .arg = arg}, .response = {}};
  const int64_t result = Ioctl(GHOST_IOC_SW_GET_INFO, get, nullptr, &out);
  if (info != nullptr) *info = out.response;
  return result;
}

int64_t Enclave::Free(const ghost_sw_info& info) { return Ioctl(GHOST_IOC_SW_FREE, info); }

Call Enclave::CommitCall(const std::vector<int>& cpus, bool group) {
  auto* mask = New<cpu_set_t>(run_);
  for (int cpu : cpus) CPU_SET(static_cast<size_t>(cpu), mask);
  auto* commit = New<ghost_ioc_commit_txn>(run_, {.mask_ptr = Address(mask), .mask_len = sizeof(*mask), .flags = 0});
  return {Op::kIoctl,
          {static_cast<uint64_t>(ctl_), group ? GHOST_IOC_SYNC_GROUP_TXN : GHOST_IOC_COMMIT_TXN, Address(commit)}};
}

int64_t Enclave::CommitMask(const std::vector<int>& cpus, bool group, Actor* by) {
  return Do(run_, ActorOf(run_, by), CommitCall(cpus, group));
}

ghost_txn& Enclave::Txn(int cpu) {
  if (cpu_data_ == nullptr) {
    const size_t size = static_cast<size_t>(run_.traits().num_cpus) * sizeof(ghost_cpu_data);
    const int64_t fd = Open(run_, Path("cpu_data"), O_RDWR);
    cpu_data_ = fd < 0 ? nullptr : run_.world().Map(static_cast<int>(fd), size, /*writable=*/true);
    if (cpu_data_ == nullptr) {
      run_.Differ("cpu_data can't be mapped");
      cpu_data_ = static_cast<std::byte*>(run_.world().Scratch(size));
    }
  }
  return reinterpret_cast<ghost_cpu_data*>(cpu_data_)[cpu].txn;
}

std::byte* Enclave::Words(uint32_t region) {
  std::byte*& words = words_[region];
  if (words != nullptr) return words;
  const std::string path = Path(absl::StrCat("sw_regions/sw_", region));
  const int64_t fd = Open(run_, path, O_RDONLY);
  const auto info = run_.world().Stat(path);
  if (fd >= 0 && info.has_value()) words = run_.world().Map(static_cast<int>(fd), info->size, /*writable=*/false);
  if (words == nullptr) run_.Differ(path + " can't be mapped");
  return words;
}

ghost_status_word Enclave::Word(const ghost_sw_info& info) {
  std::byte* words = Words(info.id);
  if (words == nullptr) return {};
  return reinterpret_cast<ghost_status_word*>(words + sizeof(ghost_sw_region_header))[info.index];
}

ghost_sw_region_header Enclave::Header(uint32_t region) {
  std::byte* words = Words(region);
  return words == nullptr ? ghost_sw_region_header{} : *reinterpret_cast<ghost_sw_region_header*>(words);
}

int64_t Enclave::GtidOf(Actor& actor) {
  if (run_.traits().user_mode) {
    ghostd_ioc_task_affinity out = {};
    const int64_t result =
        Ioctl(GHOSTD_IOC_TASK_AFFINITY, ghostd_ioc_task_affinity{.gtid = -actor.tid(), .mask = {}}, nullptr, &out);
    run_.Want("TASK_AFFINITY", int64_t{0}, result);
    return out.gtid;
  }
  const char* path = Put(run_, absl::StrCat("/proc/", actor.tid(), "/ghost/gtid"));
  const int64_t fd = Do(run_, run_.world().Self(), {Op::kOpen, {Address(path), O_RDONLY}});
  return std::strtoll(ReadFd(run_, fd).c_str(), nullptr, 10);
}

void Enclave::Destroy() {
  run_.Want("destroy", std::string("7"), ResultText(Write("ctl", "destroy")));
  run_.Await("the end of " + name_, [&] { return !run_.world().Stat(name_).has_value(); });
}

}  // namespace ghost::conformance
