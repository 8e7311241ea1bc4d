#include "kernel/usermode/linux/fuse_server.h"

#include <linux/fuse.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kernel/usermode/linux/fuse_wire.h"
#include "kernel/usermode/linux/proc.h"
#include "kernel/usermode/linux/request_caller.h"
#include "lib/base/logging.h"

namespace ghost::usermode {
namespace {

constexpr uint32_t kOldestMinor = 23;  // fuse_init_out as it is today
// Requests without a waiting caller (RELEASE above all) must not be held back behind newer ones: closing agent_online
// is seen by whoever reads it next.
constexpr uint16_t kMaxBackground = 65535;
constexpr size_t kExpectedPending = 1024;

uint32_t TypeBits(NodeType type) {
  switch (type) {
    case NodeType::kDirectory:
      return S_IFDIR;
    case NodeType::kRegion:
      return S_IFLNK;
    case NodeType::kFile:
      break;
  }
  return S_IFREG;
}

}  // namespace

class FuseServer::Impl {
 public:
  Impl(ScopedFd device, Core* core, RegionStore* regions, EventLoop* loop, std::function<void()> on_gone);
  ~Impl();

  void Complete(uint64_t request, int result);
  void Close();
  void ObserveIoctls(std::function<void(Tid)> observer) { ioctl_observer_ = std::move(observer); }
  void NotifyNode(uint64_t node);

 private:
  struct PolledFile {
    uint64_t node = 0;
    uint64_t kernel_handle = 0;
    bool waiting = false;
  };

  void ReadOne();
  void Dispatch(const FuseRequest& request);
  void Gone();

  void Init(const FuseRequest& request);
  void LookUp(const FuseRequest& request);
  void GetAttr(const FuseRequest& request);
  void SetAttr(const FuseRequest& request);
  void ReadLink(const FuseRequest& request);
  void Open(const FuseRequest& request);
  void OpenDir(const FuseRequest& request);
  void ReadDir(const FuseRequest& request);
  void ReleaseDir(const FuseRequest& request);
  void Read(const FuseRequest& request);
  void Write(const FuseRequest& request);
  void Ioctl(const FuseRequest& request);
  void Poll(const FuseRequest& request);
  void Release(const FuseRequest& request);
  void Interrupt(const FuseRequest& request);
  void StatFs(const FuseRequest& request);

  int FillAttr(uint64_t node, fuse_attr* attr);
  RequestCaller CallerOf(const FuseRequest& request) const {
    return RequestCaller(static_cast<Tid>(request.header->pid), request.header->uid, request.header->gid, regions_,
                         owner_);
  }
  void SayRefused(Tid tid);

  FuseDevice device_;
  Core* const core_;
  RegionStore* const regions_;
  EventLoop* const loop_;
  const std::function<void()> on_gone_;
  std::function<void(Tid)> ioctl_observer_;
  timespec start_ = {};
  const int64_t owner_ = RequestCaller::UnprivilegedOwner();
  Tid refused_ = 0;  // the last thread that SayRefused was about

  std::string text_;  // reused by READ
  uint64_t next_directory_ = 1;
  absl::flat_hash_map<uint64_t, FuseListing> directories_;  // open ones, as they were at offset 0
  absl::flat_hash_map<uint64_t, PolledFile> polled_;        // by Core's handle
  struct Pending {
    Tid tid = 0;
    std::string out;  // the struct to copy out
  };
  absl::flat_hash_map<uint64_t, Pending> pending_;  // deferred ioctls
};

namespace {

// Whether what interrupts the thread is nothing but a stop of its process (SIGSTOP). An agent that sleeps in RUN then
// sleeps on, and its CPU can be given to tasks: where BPF programs schedule, nobody notices the stop.
bool IsBeingStopped(Tid tid) {
  const std::optional<ThreadStatus> status = ReadThreadStatus(tid);
  if (!status.has_value()) return false;
  constexpr auto kBit = [](int signal) { return uint64_t{1} << (signal - 1); };
  constexpr uint64_t kStops = kBit(SIGSTOP) | kBit(SIGTSTP) | kBit(SIGTTIN) | kBit(SIGTTOU);
  if (status->pending != 0) return (status->pending & ~kStops) == 0;
  // Who stops the others holds a lock until it has stopped itself. The first look waits for that, the second sees it.
  ReadThreadStat(status->tgid);
  const std::optional<ThreadStat> leader = ReadThreadStat(status->tgid);
  return leader.has_value() && leader->state == 'T';
}

}  // namespace

FuseServer::FuseServer(ScopedFd device, Core* core, RegionStore* regions, EventLoop* loop,
                       std::function<void()> on_gone)
    : impl_(std::make_unique<Impl>(std::move(device), core, regions, loop, std::move(on_gone))) {}
FuseServer::~FuseServer() = default;
void FuseServer::Complete(uint64_t request, int result) { impl_->Complete(request, result); }
void FuseServer::Close() { impl_->Close(); }
void FuseServer::ObserveIoctls(std::function<void(Tid)> observer) { impl_->ObserveIoctls(std::move(observer)); }
void FuseServer::NotifyNode(uint64_t node) { impl_->NotifyNode(node); }

FuseServer::Impl::Impl(ScopedFd device, Core* core, RegionStore* regions, EventLoop* loop,
                       std::function<void()> on_gone)
    : device_(std::move(device)), core_(core), regions_(regions), loop_(loop), on_gone_(std::move(on_gone)) {
  clock_gettime(CLOCK_REALTIME, &start_);
  pending_.reserve(kExpectedPending);
  GHOST_CHECK(loop_->Watch(device_.fd(), [this] { ReadOne(); })) << "errno " << errno;
}

FuseServer::Impl::~Impl() { Close(); }

void FuseServer::Impl::Close() {
  if (!device_.is_open()) return;
  loop_->Unwatch(device_.fd());
  device_.Close();
  pending_.clear();
  polled_.clear();
}

void FuseServer::Impl::Gone() {
  Close();
  on_gone_();
}

void FuseServer::Impl::ReadOne() {
  FuseRequest request;
  switch (device_.Read(&request)) {
    case FuseDevice::ReadResult::kRequest:
      return Dispatch(request);
    case FuseDevice::ReadResult::kNothing:
      return;
    case FuseDevice::ReadResult::kGone:
      return Gone();
  }
}

void FuseServer::Impl::Dispatch(const FuseRequest& request) {
  const uint64_t unique = request.unique();
  switch (request.header->opcode) {
    case FUSE_IOCTL:
      return Ioctl(request);
    case FUSE_READ:
      return Read(request);
    case FUSE_WRITE:
      return Write(request);
    case FUSE_LOOKUP:
      return LookUp(request);
    case FUSE_GETATTR:
      return GetAttr(request);
    case FUSE_SETATTR:
      return SetAttr(request);
    case FUSE_READLINK:
      return ReadLink(request);
    case FUSE_OPEN:
      return Open(request);
    case FUSE_RELEASE:
      return Release(request);
    case FUSE_OPENDIR:
      return OpenDir(request);
    case FUSE_READDIR:
      return ReadDir(request);
    case FUSE_RELEASEDIR:
      return ReleaseDir(request);
    case FUSE_POLL:
      return Poll(request);
    case FUSE_INTERRUPT:
      return Interrupt(request);
    case FUSE_STATFS:
      return StatFs(request);
    case FUSE_INIT:
      return Init(request);
    case FUSE_ACCESS:  // the kernel decides (default_permissions)
    case FUSE_DESTROY:
      return device_.Reply(unique, 0);
    case FUSE_FORGET:  // Core's nodes have no count of lookups
    case FUSE_BATCH_FORGET:
      return;          // neither has an answer
    case FUSE_CREATE:  // what kernfs says to those who would make files in it
      return device_.Reply(unique, -EACCES);
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
    case FUSE_RENAME:
    case FUSE_RENAME2:
      return device_.Reply(unique, -EPERM);
    default:
      return device_.Reply(unique, -ENOSYS);  // for most, the kernel does not ask again
  }
}

void FuseServer::Impl::Init(const FuseRequest& request) {
  const uint64_t unique = request.unique();
  const auto* in = reinterpret_cast<const fuse_init_in*>(request.body.data());
  // Kernels before 7.36 send only the first four fields.
  if (request.body.size() < offsetof(fuse_init_in, flags2)) return device_.Reply(unique, -EIO);
  if (in->major < FUSE_KERNEL_VERSION || (in->major == FUSE_KERNEL_VERSION && in->minor < kOldestMinor)) {
    return device_.Reply(unique, -EPROTO);
  }
  fuse_init_out out = {};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = FUSE_KERNEL_MINOR_VERSION;
  out.flags = in->flags & (FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES);
  out.max_background = kMaxBackground;
  out.congestion_threshold = kMaxBackground;
  out.max_write = FuseDevice::kMaxWrite;
  out.time_gran = 1;
  out.max_pages = FuseDevice::kMaxWrite / 4096;
  device_.ReplyWith(unique, out);
}

int FuseServer::Impl::FillAttr(uint64_t node, fuse_attr* attr) {
  NodeAttr from;
  if (int error = core_->GetAttr(node, &from); error < 0) return error;
  *attr = {};
  attr->ino = node;
  attr->mode = TypeBits(from.type) | from.mode;
  attr->uid = from.uid;
  attr->gid = from.gid;
  attr->size = from.size;
  attr->nlink = 1;
  attr->blksize = 4096;
  attr->atime = attr->mtime = attr->ctime = static_cast<uint64_t>(start_.tv_sec);
  attr->atimensec = attr->mtimensec = attr->ctimensec = static_cast<uint32_t>(start_.tv_nsec);
  if (from.type == NodeType::kRegion) {
    // Links have no permissions of their own: the file behind it gets the node's.
    regions_->SetAccess(from.region, from.mode, from.uid, from.gid);
    attr->mode = S_IFLNK | 0777;
    attr->size = regions_->Path(from.region).size();
  } else if (from.type == NodeType::kDirectory) {
    std::vector<DirEntry> entries;
    core_->ReadDir(node, &entries);
    attr->size = 0;
    attr->nlink = 2 + static_cast<uint32_t>(std::count_if(entries.begin(), entries.end(), [](const DirEntry& entry) {
                    return entry.type == NodeType::kDirectory;
                  }));
  }
  return 0;
}

void FuseServer::Impl::LookUp(const FuseRequest& request) {
  const std::optional<std::string_view> name = request.Name();
  if (!name.has_value()) return device_.Reply(request.unique(), -EIO);
  const int64_t node = core_->Lookup(request.header->nodeid, *name);
  if (node < 0) return device_.Reply(request.unique(), node);
  fuse_entry_out out = {};
  out.nodeid = static_cast<uint64_t>(node);
  if (int error = FillAttr(out.nodeid, &out.attr); error < 0) return device_.Reply(request.unique(), error);
  device_.ReplyWith(request.unique(), out);
}

void FuseServer::Impl::GetAttr(const FuseRequest& request) {
  fuse_attr_out out = {};
  int error = FillAttr(request.header->nodeid, &out.attr);
  // A path would have failed in LOOKUP: this is an open file of a removed enclave, and gives what reading it gives.
  if (error == -ENOENT) error = -ENODEV;
  if (error < 0) return device_.Reply(request.unique(), error);
  device_.ReplyWith(request.unique(), out);
}

void FuseServer::Impl::SetAttr(const FuseRequest& request) {
  const auto* in = request.As<fuse_setattr_in>();
  if (in == nullptr) return device_.Reply(request.unique(), -EIO);
  // Truncating, as a shell's `>` does, changes nothing; modes, owners and times are not for users to change.
  if ((in->valid & FATTR_SIZE) == 0 || (in->valid & (FATTR_MODE | FATTR_UID | FATTR_GID)) != 0) {
    return device_.Reply(request.unique(), -EPERM);
  }
  GetAttr(request);
}

void FuseServer::Impl::ReadLink(const FuseRequest& request) {
  NodeAttr attr;
  if (int error = core_->GetAttr(request.header->nodeid, &attr); error < 0)
    return device_.Reply(request.unique(), error);
  if (attr.type != NodeType::kRegion) return device_.Reply(request.unique(), -EINVAL);
  const std::string path = regions_->Path(attr.region);
  if (path.empty()) return device_.Reply(request.unique(), -ENOENT);
  device_.Reply(request.unique(), 0, std::as_bytes(std::span(path)));
}

void FuseServer::Impl::Open(const FuseRequest& request) {
  const auto* in = request.As<fuse_open_in>();
  if (in == nullptr) return device_.Reply(request.unique(), -EIO);
  RequestCaller caller = CallerOf(request);
  const int64_t handle = core_->Open(request.header->nodeid, static_cast<int>(in->flags), caller);
  if (handle < 0) return device_.Reply(request.unique(), handle);
  fuse_open_out out = {};
  out.fh = static_cast<uint64_t>(handle);
  // Not NONSEEKABLE: then every read would come with offset 0, and cat would never end.
  out.open_flags = FOPEN_DIRECT_IO;
  device_.ReplyWith(request.unique(), out);
}

void FuseServer::Impl::Release(const FuseRequest& request) {
  const auto* in = request.As<fuse_release_in>();
  if (in == nullptr) return device_.Reply(request.unique(), -EIO);
  polled_.erase(in->fh);
  core_->Release(in->fh);
  device_.Reply(request.unique(), 0);
}

void FuseServer::Impl::OpenDir(const FuseRequest& request) {
  NodeAttr attr;
  if (int error = core_->GetAttr(request.header->nodeid, &attr); error < 0)
    return device_.Reply(request.unique(), error);
  if (attr.type != NodeType::kDirectory) return device_.Reply(request.unique(), -ENOTDIR);
  fuse_open_out out = {};
  out.fh = next_directory_++;
  directories_[out.fh];
  device_.ReplyWith(request.unique(), out);
}

void FuseServer::Impl::ReadDir(const FuseRequest& request) {
  const uint64_t unique = request.unique();
  const auto* in = request.As<fuse_read_in>();
  auto directory = in == nullptr ? directories_.end() : directories_.find(in->fh);
  if (directory == directories_.end()) return device_.Reply(unique, -EBADF);
  FuseListing& listing = directory->second;
  // It stays as it is until somebody rewinds.
  if (in->offset == 0) {
    std::vector<DirEntry> children;
    if (int error = core_->ReadDir(request.header->nodeid, &children); error < 0) return device_.Reply(unique, error);
    listing.Clear();
    listing.Append(request.header->nodeid, S_IFDIR, ".");
    listing.Append(Core::kRootNode, S_IFDIR, "..");
    for (const DirEntry& child : children) listing.Append(child.node, TypeBits(child.type), child.name);
  }
  device_.Reply(unique, 0, listing.Slice(in->offset, in->size));
}

void FuseServer::Impl::ReleaseDir(const FuseRequest& request) {
  const auto* in = request.As<fuse_release_in>();
  if (in == nullptr) return device_.Reply(request.unique(), -EIO);
  directories_.erase(in->fh);
  device_.Reply(request.unique(), 0);
}

void FuseServer::Impl::Read(const FuseRequest& request) {
  const auto* in = request.As<fuse_read_in>();
  if (in == nullptr) return device_.Reply(request.unique(), -EIO);
  text_.clear();
  const int64_t result = core_->Read(in->fh, in->offset, std::min(in->size, FuseDevice::kMaxWrite), &text_);
  if (result < 0) return device_.Reply(request.unique(), result);
  const size_t size = std::min<size_t>(text_.size(), in->size);
  device_.Reply(request.unique(), 0, std::as_bytes(std::span(text_).first(size)));
}

void FuseServer::Impl::Write(const FuseRequest& request) {
  const auto* in = request.As<fuse_write_in>();
  if (in == nullptr || in->size > request.body.size() - sizeof(*in)) return device_.Reply(request.unique(), -EIO);
  const std::string_view data(reinterpret_cast<const char*>(request.body.data()) + sizeof(*in), in->size);
  RequestCaller caller = CallerOf(request);
  const int64_t result = core_->Write(in->fh, data, caller);
  if (result < 0) return device_.Reply(request.unique(), result);
  fuse_write_out out = {};
  out.size = static_cast<uint32_t>(result);
  device_.ReplyWith(request.unique(), out);
}

void FuseServer::Impl::Ioctl(const FuseRequest& request) {
  const uint64_t unique = request.unique();
  const auto* in = request.As<fuse_ioctl_in>();
  const size_t size = in == nullptr ? 0 : _IOC_SIZE(in->cmd);
  if (in == nullptr || in->in_size > request.body.size() - sizeof(*in) || in->in_size > size || in->out_size > size) {
    return device_.Reply(unique, -EIO);
  }
  if ((in->flags & (FUSE_IOCTL_DIR | FUSE_IOCTL_UNRESTRICTED)) != 0) return device_.Reply(unique, -ENOTTY);
  if (ioctl_observer_) ioctl_observer_(static_cast<Tid>(request.header->pid));
  // Worked on in place: the buffer has room for the largest struct (16 KiB) behind any ioctl's header.
  const std::span<std::byte> argument(request.body.data() + sizeof(*in), size);
  std::fill(argument.begin() + in->in_size, argument.end(), std::byte{0});
  RequestCaller caller = CallerOf(request);
  const IoctlResult result = core_->Ioctl(in->fh, in->cmd, argument, caller, unique);
  const std::span<const std::byte> out = argument.first(in->out_size);
  if (caller.refused() && result.result < 0) {
    // EBADF and EFAULT would blame the caller for what Linux has kept from us.
    SayRefused(caller.tid());
    return device_.ReplyIoctl(unique, -EPERM, out);
  }
  if (!result.pending) return device_.ReplyIoctl(unique, result.result, out);
  pending_.try_emplace(unique,
                       Pending{.tid = caller.tid(), .out = {reinterpret_cast<const char*>(out.data()), out.size()}});
}

void FuseServer::Impl::SayRefused(Tid tid) {
  if (std::exchange(refused_, tid) == tid) return;
  std::fprintf(stderr,
               "ghostd: cannot look into thread %d, which has more rights than ghostd: its requests fail with EPERM\n"
               "hint: give ghostd CAP_SYS_PTRACE, or start the agent with ghostd's own user and capabilities\n",
               tid);
}

void FuseServer::Impl::Complete(uint64_t request, int result) {
  auto it = pending_.find(request);
  if (it == pending_.end()) return;
  const std::string out = std::move(it->second.out);
  pending_.erase(it);
  device_.ReplyIoctl(request, result, std::as_bytes(std::span(out)));
}

void FuseServer::Impl::Interrupt(const FuseRequest& request) {
  const auto* in = request.As<fuse_interrupt_in>();
  // The kernel sends it after the request that it is about, so what isn't pending has been answered already.
  const auto it = in == nullptr ? pending_.end() : pending_.find(in->unique);
  if (it == pending_.end() || IsBeingStopped(it->second.tid)) return;
  core_->Interrupt(in->unique);
}

void FuseServer::Impl::Poll(const FuseRequest& request) {
  const auto* in = request.As<fuse_poll_in>();
  if (in == nullptr) return device_.Reply(request.unique(), -EIO);
  if ((in->flags & FUSE_POLL_SCHEDULE_NOTIFY) != 0) polled_[in->fh] = {request.header->nodeid, in->kh, true};
  fuse_poll_out out = {};
  out.revents = core_->Poll(in->fh);
  device_.ReplyWith(request.unique(), out);
}

void FuseServer::Impl::NotifyNode(uint64_t node) {
  for (auto& [handle, file] : polled_) {
    if (file.node != node || !std::exchange(file.waiting, false)) continue;
    device_.NotifyPoll(file.kernel_handle);
  }
}

void FuseServer::Impl::StatFs(const FuseRequest& request) {
  fuse_statfs_out out = {};
  out.st.bsize = 4096;
  out.st.frsize = 4096;
  out.st.namelen = 255;
  device_.ReplyWith(request.unique(), out);
}

}  // namespace ghost::usermode
