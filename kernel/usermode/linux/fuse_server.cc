#include "kernel/usermode/linux/fuse_server.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kernel/usermode/linux/request_caller.h"
#include "lib/base/logging.h"

namespace ghost::usermode {
namespace {

constexpr uint32_t kMaxWrite = 128 * 1024;
constexpr size_t kBufferSize = kMaxWrite + 4096;  // and the headers
constexpr uint32_t kOldestMinor = 23;             // fuse_init_out as it is today
constexpr uint32_t kMaxPages = kMaxWrite / 4096;
// Requests without a waiting caller (RELEASE above all) must not be held back behind newer ones: closing agent_online
// is seen by whoever reads it next.
constexpr uint16_t kMaxBackground = 65535;
constexpr size_t kExpectedPending = 1024;

// One request. `body` is what follows the header; it lies in the server's buffer, with room behind it.
struct Request {
  const fuse_in_header* header;
  std::span<std::byte> body;

  // The body's fixed part; null if the request is shorter.
  template <typename T>
  const T* As() const {
    return body.size() < sizeof(T) ? nullptr : reinterpret_cast<const T*>(body.data());
  }
  // A NUL-terminated name.
  std::optional<std::string_view> Name() const {
    const auto* text = reinterpret_cast<const char*>(body.data());
    const size_t length = strnlen(text, body.size());
    if (length == body.size()) return std::nullopt;
    return std::string_view(text, length);
  }
};

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

void AppendDirent(uint64_t node, NodeType type, std::string_view name, uint64_t offset, std::string* out) {
  fuse_dirent entry = {};
  entry.ino = node;
  entry.off = offset;
  entry.namelen = static_cast<uint32_t>(name.size());
  entry.type = TypeBits(type) >> 12;
  out->append(reinterpret_cast<const char*>(&entry), FUSE_NAME_OFFSET);
  out->append(name);
  out->resize(FUSE_DIRENT_ALIGN(out->size()));
}

}  // namespace

class FuseServer::Impl {
 public:
  Impl(ScopedFd device, Core* core, RegionStore* regions, EventLoop* loop, std::function<void()> on_gone);
  ~Impl();

  void Complete(uint64_t request, int result);
  void Close();
  void NotifyNode(uint64_t node);

 private:
  struct PolledFile {
    uint64_t node = 0;
    uint64_t kernel_handle = 0;
    bool waiting = false;
  };

  void ReadOne();
  void Dispatch(const Request& request);
  void Gone();

  // The write that is an answer. error: 0 or -errno.
  void Reply(uint64_t unique, int64_t error, std::span<const std::byte> payload = {});
  template <typename T>
  void ReplyWith(uint64_t unique, const T& payload) {
    Reply(unique, 0, std::as_bytes(std::span(&payload, 1)));
  }
  void ReplyIoctl(uint64_t unique, int result, std::span<const std::byte> out);

  void Init(const Request& request);
  void LookUp(const Request& request);
  void GetAttr(const Request& request);
  void SetAttr(const Request& request);
  void ReadLink(const Request& request);
  void Open(const Request& request);
  void OpenDir(const Request& request);
  void ReadDir(const Request& request);
  void ReleaseDir(const Request& request);
  void Read(const Request& request);
  void Write(const Request& request);
  void Ioctl(const Request& request);
  void Poll(const Request& request);
  void Release(const Request& request);
  void Interrupt(const Request& request);
  void StatFs(const Request& request);

  int FillAttr(uint64_t node, fuse_attr* attr);
  RequestCaller CallerOf(const Request& request) const {
    return RequestCaller(static_cast<Tid>(request.header->pid), request.header->uid, request.header->gid, regions_);
  }

  ScopedFd device_;
  Core* const core_;
  RegionStore* const regions_;
  EventLoop* const loop_;
  const std::function<void()> on_gone_;
  timespec start_ = {};

  std::vector<uint64_t> buffer_;  // of words, for the alignment of the protocol's structs
  std::string text_;              // reused by READ and READDIR

  uint64_t next_directory_ = 1;
  absl::flat_hash_map<uint64_t, std::string> directories_;  // open ones: their entries as they were at offset 0
  absl::flat_hash_map<uint64_t, PolledFile> polled_;        // by Core's handle
  absl::flat_hash_map<uint64_t, std::string> pending_;      // deferred ioctls: the struct to copy out

  // The ioctl that Core is working on, and whether Complete has come for it already.
  uint64_t current_ = 0;
  std::optional<int> current_result_;
};

FuseServer::FuseServer(ScopedFd device, Core* core, RegionStore* regions, EventLoop* loop,
                       std::function<void()> on_gone)
    : impl_(std::make_unique<Impl>(std::move(device), core, regions, loop, std::move(on_gone))) {}
FuseServer::~FuseServer() = default;
void FuseServer::Complete(uint64_t request, int result) { impl_->Complete(request, result); }
void FuseServer::Close() { impl_->Close(); }
void FuseServer::NotifyNode(uint64_t node) { impl_->NotifyNode(node); }

FuseServer::Impl::Impl(ScopedFd device, Core* core, RegionStore* regions, EventLoop* loop,
                       std::function<void()> on_gone)
    : device_(std::move(device)),
      core_(core),
      regions_(regions),
      loop_(loop),
      on_gone_(std::move(on_gone)),
      buffer_(kBufferSize / sizeof(uint64_t)) {
  clock_gettime(CLOCK_REALTIME, &start_);
  pending_.reserve(kExpectedPending);
  GHOST_CHECK(fcntl(device_.get(), F_SETFL, O_NONBLOCK) == 0) << "errno " << errno;
  GHOST_CHECK(loop_->Watch(device_.get(), [this] { ReadOne(); })) << "errno " << errno;
}

FuseServer::Impl::~Impl() { Close(); }

void FuseServer::Impl::Close() {
  if (!device_.valid()) return;
  loop_->Unwatch(device_.get());
  device_.reset();
  pending_.clear();
  polled_.clear();
}

void FuseServer::Impl::Gone() {
  Close();
  on_gone_();
}

void FuseServer::Impl::ReadOne() {
  const ssize_t size = read(device_.get(), buffer_.data(), kBufferSize);
  if (size < 0) {
    // ENOENT: the caller gave up between our waking and our reading.
    if (errno == EAGAIN || errno == EINTR || errno == ENOENT) return;
    return Gone();
  }
  if (size == 0) return Gone();
  if (static_cast<size_t>(size) < sizeof(fuse_in_header)) return;  // no way to answer it
  auto* bytes = reinterpret_cast<std::byte*>(buffer_.data());
  const auto* header = reinterpret_cast<const fuse_in_header*>(bytes);
  if (header->len != static_cast<uint32_t>(size)) return Reply(header->unique, -EIO);
  Dispatch({header, std::span(bytes, static_cast<size_t>(size)).subspan(sizeof(fuse_in_header))});
}

void FuseServer::Impl::Dispatch(const Request& request) {
  const uint64_t unique = request.header->unique;
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
      return Reply(unique, 0);
    case FUSE_FORGET:  // Core's nodes have no count of lookups
    case FUSE_BATCH_FORGET:
      return;          // neither has an answer
    case FUSE_CREATE:  // what kernfs says to those who would make files in it
      return Reply(unique, -EACCES);
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
    case FUSE_RENAME:
    case FUSE_RENAME2:
      return Reply(unique, -EPERM);
    default:
      return Reply(unique, -ENOSYS);  // for most, the kernel does not ask again
  }
}

void FuseServer::Impl::Reply(uint64_t unique, int64_t error, std::span<const std::byte> payload) {
  if (error <= -512 || error > 0) error = -EIO;  // the kernel takes no others
  if (error != 0) payload = {};
  fuse_out_header header = {};
  header.len = static_cast<uint32_t>(sizeof(header) + payload.size());
  header.error = static_cast<int32_t>(error);
  header.unique = unique;
  const iovec parts[] = {{&header, sizeof(header)}, {const_cast<std::byte*>(payload.data()), payload.size()}};
  // Failures are normal: ENOENT when the caller was killed meanwhile, ENODEV when we are unmounted.
  [[maybe_unused]] ssize_t written = writev(device_.get(), parts, payload.empty() ? 1 : 2);
}

void FuseServer::Impl::Init(const Request& request) {
  const uint64_t unique = request.header->unique;
  const auto* in = reinterpret_cast<const fuse_init_in*>(request.body.data());
  // Kernels before 7.36 send only the first four fields.
  if (request.body.size() < offsetof(fuse_init_in, flags2)) return Reply(unique, -EIO);
  if (in->major < FUSE_KERNEL_VERSION || (in->major == FUSE_KERNEL_VERSION && in->minor < kOldestMinor)) {
    return Reply(unique, -EPROTO);
  }
  fuse_init_out out = {};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = FUSE_KERNEL_MINOR_VERSION;
  out.flags = in->flags & (FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES);
  out.max_background = kMaxBackground;
  out.congestion_threshold = kMaxBackground;
  out.max_write = kMaxWrite;
  out.time_gran = 1;
  out.max_pages = kMaxPages;
  ReplyWith(unique, out);
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

void FuseServer::Impl::LookUp(const Request& request) {
  const std::optional<std::string_view> name = request.Name();
  if (!name.has_value()) return Reply(request.header->unique, -EIO);
  const int64_t node = core_->Lookup(request.header->nodeid, *name);
  if (node < 0) return Reply(request.header->unique, node);
  fuse_entry_out out = {};
  out.nodeid = static_cast<uint64_t>(node);
  if (int error = FillAttr(out.nodeid, &out.attr); error < 0) return Reply(request.header->unique, error);
  ReplyWith(request.header->unique, out);
}

void FuseServer::Impl::GetAttr(const Request& request) {
  fuse_attr_out out = {};
  if (int error = FillAttr(request.header->nodeid, &out.attr); error < 0) return Reply(request.header->unique, error);
  ReplyWith(request.header->unique, out);
}

void FuseServer::Impl::SetAttr(const Request& request) {
  const auto* in = request.As<fuse_setattr_in>();
  if (in == nullptr) return Reply(request.header->unique, -EIO);
  // Truncating, as a shell's `>` does, changes nothing; modes, owners and times are not for users to change.
  if ((in->valid & FATTR_SIZE) == 0 || (in->valid & (FATTR_MODE | FATTR_UID | FATTR_GID)) != 0) {
    return Reply(request.header->unique, -EPERM);
  }
  GetAttr(request);
}

void FuseServer::Impl::ReadLink(const Request& request) {
  NodeAttr attr;
  if (int error = core_->GetAttr(request.header->nodeid, &attr); error < 0) return Reply(request.header->unique, error);
  if (attr.type != NodeType::kRegion) return Reply(request.header->unique, -EINVAL);
  const std::string path = regions_->Path(attr.region);
  if (path.empty()) return Reply(request.header->unique, -ENOENT);
  Reply(request.header->unique, 0, std::as_bytes(std::span(path)));
}

void FuseServer::Impl::Open(const Request& request) {
  const auto* in = request.As<fuse_open_in>();
  if (in == nullptr) return Reply(request.header->unique, -EIO);
  RequestCaller caller = CallerOf(request);
  const int64_t handle = core_->Open(request.header->nodeid, static_cast<int>(in->flags), caller);
  if (handle < 0) return Reply(request.header->unique, handle);
  fuse_open_out out = {};
  out.fh = static_cast<uint64_t>(handle);
  // Not NONSEEKABLE: then every read would come with offset 0, and cat would never end.
  out.open_flags = FOPEN_DIRECT_IO;
  ReplyWith(request.header->unique, out);
}

void FuseServer::Impl::Release(const Request& request) {
  const auto* in = request.As<fuse_release_in>();
  if (in == nullptr) return Reply(request.header->unique, -EIO);
  polled_.erase(in->fh);
  core_->Release(in->fh);
  Reply(request.header->unique, 0);
}

void FuseServer::Impl::OpenDir(const Request& request) {
  NodeAttr attr;
  if (int error = core_->GetAttr(request.header->nodeid, &attr); error < 0) return Reply(request.header->unique, error);
  if (attr.type != NodeType::kDirectory) return Reply(request.header->unique, -ENOTDIR);
  fuse_open_out out = {};
  out.fh = next_directory_++;
  directories_[out.fh];
  ReplyWith(request.header->unique, out);
}

void FuseServer::Impl::ReadDir(const Request& request) {
  const uint64_t unique = request.header->unique;
  const auto* in = request.As<fuse_read_in>();
  auto directory = in == nullptr ? directories_.end() : directories_.find(in->fh);
  if (directory == directories_.end()) return Reply(unique, -EBADF);
  std::string& entries = directory->second;
  // An entry's offset is where the next one starts in this text, which stays as it is until somebody rewinds.
  if (in->offset == 0) {
    entries.clear();
    std::vector<DirEntry> children;
    if (int error = core_->ReadDir(request.header->nodeid, &children); error < 0) return Reply(unique, error);
    const auto append = [&entries](uint64_t node, NodeType type, std::string_view name) {
      AppendDirent(node, type, name, entries.size() + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name.size()), &entries);
    };
    append(request.header->nodeid, NodeType::kDirectory, ".");
    append(Core::kRootNode, NodeType::kDirectory, "..");
    for (const DirEntry& child : children) append(child.node, child.type, child.name);
  }
  size_t begin = std::min<size_t>(in->offset, entries.size());
  size_t end = begin;
  while (end + FUSE_NAME_OFFSET <= entries.size()) {
    uint32_t name_length;
    memcpy(&name_length, entries.data() + end + offsetof(fuse_dirent, namelen), sizeof(name_length));
    const size_t next = end + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + size_t{name_length});
    // A forged offset may lie in the middle of an entry: what is read there must not lead us out of the text.
    if (next > entries.size() || next - begin > in->size) break;
    end = next;
  }
  Reply(unique, 0, std::as_bytes(std::span(entries).subspan(begin, end - begin)));
}

void FuseServer::Impl::ReleaseDir(const Request& request) {
  const auto* in = request.As<fuse_release_in>();
  if (in == nullptr) return Reply(request.header->unique, -EIO);
  directories_.erase(in->fh);
  Reply(request.header->unique, 0);
}

void FuseServer::Impl::Read(const Request& request) {
  const auto* in = request.As<fuse_read_in>();
  if (in == nullptr) return Reply(request.header->unique, -EIO);
  text_.clear();
  const int64_t result = core_->Read(in->fh, in->offset, std::min(in->size, kMaxWrite), &text_);
  if (result < 0) return Reply(request.header->unique, result);
  const size_t size = std::min<size_t>(text_.size(), in->size);
  Reply(request.header->unique, 0, std::as_bytes(std::span(text_).first(size)));
}

void FuseServer::Impl::Write(const Request& request) {
  const auto* in = request.As<fuse_write_in>();
  if (in == nullptr || in->size > request.body.size() - sizeof(*in)) return Reply(request.header->unique, -EIO);
  const std::string_view data(reinterpret_cast<const char*>(request.body.data()) + sizeof(*in), in->size);
  RequestCaller caller = CallerOf(request);
  const int64_t result = core_->Write(in->fh, data, caller);
  if (result < 0) return Reply(request.header->unique, result);
  fuse_write_out out = {};
  out.size = static_cast<uint32_t>(result);
  ReplyWith(request.header->unique, out);
}

void FuseServer::Impl::Ioctl(const Request& request) {
  const uint64_t unique = request.header->unique;
  const auto* in = request.As<fuse_ioctl_in>();
  const size_t size = in == nullptr ? 0 : _IOC_SIZE(in->cmd);
  if (in == nullptr || in->in_size > request.body.size() - sizeof(*in) || in->in_size > size || in->out_size > size) {
    return Reply(unique, -EIO);
  }
  if ((in->flags & (FUSE_IOCTL_DIR | FUSE_IOCTL_UNRESTRICTED)) != 0) return Reply(unique, -ENOTTY);
  // Worked on in place: the buffer has room for the largest struct (16 KiB) behind any ioctl's header.
  const std::span<std::byte> argument(request.body.data() + sizeof(*in), size);
  std::fill(argument.begin() + in->in_size, argument.end(), std::byte{0});
  RequestCaller caller = CallerOf(request);
  current_ = unique;
  current_result_.reset();
  const IoctlResult result = core_->Ioctl(in->fh, in->cmd, argument, caller, unique);
  current_ = 0;
  const std::span<const std::byte> out = argument.first(in->out_size);
  if (!result.pending) return ReplyIoctl(unique, result.result, out);
  if (current_result_.has_value()) return ReplyIoctl(unique, *current_result_, out);
  pending_.try_emplace(unique, reinterpret_cast<const char*>(out.data()), out.size());
}

void FuseServer::Impl::ReplyIoctl(uint64_t unique, int result, std::span<const std::byte> out) {
  if (result < 0) return Reply(unique, result);
  struct {
    fuse_out_header header;
    fuse_ioctl_out ioctl;
  } head = {};
  head.header.len = static_cast<uint32_t>(sizeof(head) + out.size());
  head.header.unique = unique;
  head.ioctl.result = result;
  const iovec parts[] = {{&head, sizeof(head)}, {const_cast<std::byte*>(out.data()), out.size()}};
  [[maybe_unused]] ssize_t written = writev(device_.get(), parts, out.empty() ? 1 : 2);
}

void FuseServer::Impl::Complete(uint64_t request, int result) {
  if (request == current_ && current_ != 0) {
    current_result_ = result;
    return;
  }
  auto it = pending_.find(request);
  if (it == pending_.end()) return;
  const std::string out = std::move(it->second);
  pending_.erase(it);
  ReplyIoctl(request, result, std::as_bytes(std::span(out)));
}

void FuseServer::Impl::Interrupt(const Request& request) {
  const auto* in = request.As<fuse_interrupt_in>();
  // The kernel sends it after the request that it is about, so what isn't pending has been answered already.
  if (in != nullptr && pending_.contains(in->unique)) core_->Interrupt(in->unique);
}

void FuseServer::Impl::Poll(const Request& request) {
  const auto* in = request.As<fuse_poll_in>();
  if (in == nullptr) return Reply(request.header->unique, -EIO);
  if ((in->flags & FUSE_POLL_SCHEDULE_NOTIFY) != 0) polled_[in->fh] = {request.header->nodeid, in->kh, true};
  fuse_poll_out out = {};
  out.revents = core_->Poll(in->fh);
  ReplyWith(request.header->unique, out);
}

void FuseServer::Impl::NotifyNode(uint64_t node) {
  for (auto& [handle, file] : polled_) {
    if (file.node != node || !std::exchange(file.waiting, false)) continue;
    struct {
      fuse_out_header header;
      fuse_notify_poll_wakeup_out wakeup;
    } notice = {};
    notice.header.len = sizeof(notice);
    notice.header.error = FUSE_NOTIFY_POLL;  // with unique 0: not an answer but a notice
    notice.wakeup.kh = file.kernel_handle;
    [[maybe_unused]] ssize_t written = write(device_.get(), &notice, sizeof(notice));
  }
}

void FuseServer::Impl::StatFs(const Request& request) {
  fuse_statfs_out out = {};
  out.st.bsize = 4096;
  out.st.frsize = 4096;
  out.st.namelen = 255;
  ReplyWith(request.header->unique, out);
}

}  // namespace ghost::usermode
