#include "kernel/usermode/linux/bpf_host.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "kernel/usermode/linux/bpf_view.h"
#include "lib/base/file.h"
#include "third_party/bpf/ghost_maps.h"

namespace ghost::usermode {
namespace {

// A copy of the caller's descriptor, if that is of the BPF kind `what` ("bpf-prog", "bpf-map"); else *error is set.
ScopedFd CopyFd(int process, Tid tgid, int fd, std::string_view what, int* error) {
  char path[64], link[64];
  snprintf(path, sizeof(path), "/proc/%d/fd/%d", tgid, fd);
  const ssize_t size = readlink(path, link, sizeof(link));
  if (fd < 0 || size < 0) {
    *error = -EBADF;
    return ScopedFd();
  }
  // Looked at before it is copied: closing a copy of one of our own files would ask ourselves.
  constexpr std::string_view kAnonymous = "anon_inode:";
  const std::string_view is(link, static_cast<size_t>(size));
  if (!is.starts_with(kAnonymous) || is.substr(kAnonymous.size()) != what) {
    *error = -EINVAL;
    return ScopedFd();
  }
  ScopedFd copy(static_cast<int>(syscall(SYS_pidfd_getfd, process, fd, 0)));
  if (!copy.valid()) *error = -errno;
  return copy;
}

// The map's id if it is an mmapable array of at least `elements` of this size; else 0.
uint32_t ArrayId(int fd, size_t element_size, size_t elements) {
  bpf_map_info info = {};
  __u32 size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return 0;
  const bool fits = info.type == BPF_MAP_TYPE_ARRAY && (info.map_flags & BPF_F_MMAPABLE) != 0 &&
                    info.value_size == element_size && info.max_entries >= elements;
  return fits ? info.id : 0;
}

bool IsSyscallProgram(int fd) {
  bpf_prog_info info = {};
  __u32 size = sizeof(info);
  return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == BPF_PROG_TYPE_SYSCALL;
}

// Elements of an array map, which has each at a multiple of 8 bytes. Null data: they can't be mapped.
template <typename Element>
Mapping MapArray(int fd, size_t elements) {
  static_assert(sizeof(Element) % 8 == 0);
  return Mapping::Map(fd, sizeof(Element) * elements, /*writable=*/true).value_or(Mapping());
}

}  // namespace

// The maps of one agent, shared by its programs.
class BpfHost::Session {
 public:
  Session(uint32_t tasks_id, uint32_t cpus_id, uint32_t effects_id)
      : tasks_id_(tasks_id), cpus_id_(cpus_id), effects_id_(effects_id) {}

  bool Map(int tasks_fd, int cpus_fd, int effects_fd) {
    tasks_ = MapArray<ghost_view_task>(tasks_fd, GHOST_VIEW_TASKS);
    cpus_ = MapArray<ghost_view_cpu>(cpus_fd, GHOST_VIEW_CPUS);
    effects_mapping_ = MapArray<ghost_effects>(effects_fd, 1);
    effects_ = reinterpret_cast<ghost_effects*>(effects_mapping_.data());
    if (tasks_.data() == nullptr || cpus_.data() == nullptr || effects_ == nullptr) return false;
    view_ = std::make_unique<MappedView>(reinterpret_cast<ghost_view_task*>(tasks_.data()),
                                         reinterpret_cast<ghost_view_cpu*>(cpus_.data()), effects_);
    return true;
  }
  bool Is(uint32_t tasks_id, uint32_t cpus_id, uint32_t effects_id) const {
    return tasks_id_ == tasks_id && cpus_id_ == cpus_id && effects_id_ == effects_id;
  }
  BpfView* view() { return view_.get(); }

  void Prepare(BpfHook hook, int cpu, int num_cpus) {
    effects_->cpu = static_cast<uint32_t>(cpu);
    effects_->nr_cpus = static_cast<uint32_t>(num_cpus);
    effects_->hook = static_cast<uint32_t>(hook);
    effects_->latched = 0;
    effects_->count = 0;
  }
  // What the program asked for. Copied: it may run again while that is carried out, and others can write there.
  size_t Effects(std::array<ghost_effect, GHOST_MAX_EFFECTS>* effects) const {
    const uint32_t count =
        std::min<uint32_t>(std::atomic_ref<__u32>(effects_->count).load(std::memory_order_relaxed), GHOST_MAX_EFFECTS);
    std::memcpy(effects->data(), effects_->effect, count * sizeof(ghost_effect));
    return count;
  }

 private:
  const uint32_t tasks_id_, cpus_id_, effects_id_;
  Mapping tasks_, cpus_, effects_mapping_;
  ghost_effects* effects_ = nullptr;
  std::unique_ptr<MappedView> view_;
};

class BpfHost::Program final : public BpfProgram {
 public:
  Program(ScopedFd fd, std::shared_ptr<Session> session, const BpfHost* host)
      : fd_(std::move(fd)), session_(std::move(session)), host_(*host) {}

  BpfView* view() override { return session_->view(); }

  bool Run(BpfHook hook, std::span<std::byte> context, int cpu, BpfHelpers& helpers, int32_t* result) override {
    session_->Prepare(hook, cpu, host_.num_cpus_);
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = context.data(),
                .ctx_size_in = static_cast<__u32>(context.size()));
    if (bpf_prog_test_run_opts(fd_.get(), &options) != 0) {
      SayOnce(std::string("a BPF program can't be run: ") + strerror(errno));
      return false;
    }
    *result = static_cast<int32_t>(options.retval);
    std::array<ghost_effect, GHOST_MAX_EFFECTS> effects;
    const size_t count = session_->Effects(&effects);
    for (size_t i = 0; i < count; ++i) {
      if (const int error = CarryOut(effects[i], helpers); error != 0) {
        helpers.NoteFailure();
        if (effects[i].kind == GHOST_EFFECT_RUN_GTID) helpers.LatchFailed(effects[i].gtid, error);
        SayOnce(std::string("what a BPF program asked for can't be done: ") + strerror(-error));
      }
    }
    return true;
  }

 private:
  static int CarryOut(const ghost_effect& effect, BpfHelpers& helpers) {
    switch (effect.kind) {
      case GHOST_EFFECT_WAKE_AGENT:
        return helpers.WakeAgent(effect.cpu);
      case GHOST_EFFECT_RUN_GTID:
        return helpers.RunGtid(effect.gtid, effect.barrier, effect.flags);
      case GHOST_EFFECT_RESCHED:
        return helpers.ReschedCpu(effect.cpu, static_cast<uint32_t>(effect.flags));
      default:
        return -EINVAL;
    }
  }

  void SayOnce(const std::string& line) {
    if (!std::exchange(said_, true)) host_.log_(line);
  }

  const ScopedFd fd_;
  const std::shared_ptr<Session> session_;
  const BpfHost& host_;
  bool said_ = false;
};

BpfHost::BpfHost(int num_cpus, Log log) : num_cpus_(num_cpus), log_(std::move(log)) {}
BpfHost::~BpfHost() = default;

std::shared_ptr<BpfHost::Session> BpfHost::FindSession(uint32_t tasks, uint32_t cpus, uint32_t effects) {
  std::erase_if(sessions_, [](const std::weak_ptr<Session>& session) { return session.expired(); });
  for (const std::weak_ptr<Session>& weak : sessions_) {
    std::shared_ptr<Session> session = weak.lock();
    if (session->Is(tasks, cpus, effects)) return session;
  }
  return nullptr;
}

int BpfHost::Take(const ghostd_ioc_bpf_attach& attach, Caller& caller, std::unique_ptr<BpfProgram>* program) {
  if (caller.uid() != 0 && caller.uid() != geteuid()) return -EPERM;
  const Tid tgid = caller.tgid();
  if (tgid <= 0) return -ESRCH;
  ScopedFd process(static_cast<int>(syscall(SYS_pidfd_open, tgid, 0)));
  if (!process.valid()) return -errno;
  int error = 0;
  ScopedFd code = CopyFd(process.get(), tgid, attach.prog_fd, "bpf-prog", &error);
  ScopedFd tasks = CopyFd(process.get(), tgid, attach.tasks_fd, "bpf-map", &error);
  ScopedFd cpus = CopyFd(process.get(), tgid, attach.cpus_fd, "bpf-map", &error);
  ScopedFd effects = CopyFd(process.get(), tgid, attach.effects_fd, "bpf-map", &error);
  if (error != 0) return error;
  const uint32_t tasks_id = ArrayId(tasks.get(), sizeof(ghost_view_task), GHOST_VIEW_TASKS);
  const uint32_t cpus_id = ArrayId(cpus.get(), sizeof(ghost_view_cpu), GHOST_VIEW_CPUS);
  const uint32_t effects_id = ArrayId(effects.get(), sizeof(ghost_effects), 1);
  if (tasks_id == 0 || cpus_id == 0 || effects_id == 0 || !IsSyscallProgram(code.get())) return -EINVAL;
  std::shared_ptr<Session> session = FindSession(tasks_id, cpus_id, effects_id);
  if (session == nullptr) {
    session = std::make_shared<Session>(tasks_id, cpus_id, effects_id);
    if (!session->Map(tasks.get(), cpus.get(), effects.get())) return -ENOMEM;
    sessions_.push_back(session);
  }
  *program = std::make_unique<Program>(std::move(code), std::move(session), this);
  return 0;
}

void BpfHost::ForbidLoading(Caller& caller) {
  const Tid tgid = caller.tgid();
  const int error = tgid > 0 ? ban_.Add(tgid) : -ESRCH;
  if (error == 0 || std::exchange(said_no_ban_, true)) return;
  log_(std::string("`disable my bpf_prog_load` forbids nothing here: ") + strerror(-error));
}

}  // namespace ghost::usermode
