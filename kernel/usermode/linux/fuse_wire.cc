#include "kernel/usermode/linux/fuse_wire.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/base/logging.h"

namespace ghost::usermode {
namespace {

constexpr size_t kMaxIoctl = 16 * 1024;                           // _IOC_SIZE has 14 bits
constexpr size_t kLargestRequest = FuseDevice::kMaxWrite + 4096;  // with its headers
constexpr size_t kBufferSize = kLargestRequest + kMaxIoctl + 4096;

}  // namespace

std::optional<std::string_view> FuseRequest::Name() const {
  const auto* text = reinterpret_cast<const char*>(body.data());
  const size_t length = strnlen(text, body.size());
  if (length == body.size()) return std::nullopt;
  return std::string_view(text, length);
}

FuseDevice::FuseDevice(ScopedFd fd) : fd_(std::move(fd)), buffer_(kBufferSize / sizeof(uint64_t)) {
  GHOST_CHECK(fcntl(fd_.get(), F_SETFL, O_NONBLOCK) == 0) << "errno " << errno;
}

FuseDevice::ReadResult FuseDevice::Read(FuseRequest* request) {
  const ssize_t result = read(fd_.get(), buffer_.data(), kLargestRequest);
  if (result < 0) {
    // ENOENT: the caller gave up between our waking and our reading.
    const bool later = errno == EAGAIN || errno == EINTR || errno == ENOENT;
    return later ? ReadResult::kNothing : ReadResult::kGone;
  }
  if (result == 0) return ReadResult::kGone;
  const auto size = static_cast<size_t>(result);
  if (size < sizeof(fuse_in_header)) return ReadResult::kNothing;  // no way to answer it
  auto* bytes = reinterpret_cast<std::byte*>(buffer_.data());
  request->header = reinterpret_cast<const fuse_in_header*>(bytes);
  request->body = std::span(bytes, size).subspan(sizeof(fuse_in_header));
  if (request->header->len == size) return ReadResult::kRequest;
  Reply(request->unique(), -EIO);
  return ReadResult::kNothing;
}

void FuseDevice::Reply(uint64_t unique, int64_t error, std::span<const std::byte> payload) {
  if (error <= -512 || error > 0) error = -EIO;  // the kernel takes no others
  if (error != 0) payload = {};
  fuse_out_header header = {};
  header.len = static_cast<uint32_t>(sizeof(header) + payload.size());
  header.error = static_cast<int32_t>(error);
  header.unique = unique;
  const iovec parts[] = {{&header, sizeof(header)}, {const_cast<std::byte*>(payload.data()), payload.size()}};
  [[maybe_unused]] ssize_t written = writev(fd_.get(), parts, payload.empty() ? 1 : 2);
}

void FuseDevice::ReplyIoctl(uint64_t unique, int result, std::span<const std::byte> out) {
  if (result < 0) return Reply(unique, result);
  struct {
    fuse_out_header header;
    fuse_ioctl_out ioctl;
  } head = {};
  head.header.len = static_cast<uint32_t>(sizeof(head) + out.size());
  head.header.unique = unique;
  head.ioctl.result = result;
  const iovec parts[] = {{&head, sizeof(head)}, {const_cast<std::byte*>(out.data()), out.size()}};
  [[maybe_unused]] ssize_t written = writev(fd_.get(), parts, out.empty() ? 1 : 2);
}

void FuseDevice::NotifyPoll(uint64_t kernel_handle) {
  struct {
    fuse_out_header header;
    fuse_notify_poll_wakeup_out wakeup;
  } notice = {};
  notice.header.len = sizeof(notice);
  notice.header.error = FUSE_NOTIFY_POLL;  // with unique 0: not an answer but a notice
  notice.wakeup.kh = kernel_handle;
  [[maybe_unused]] ssize_t written = write(fd_.get(), &notice, sizeof(notice));
}

void FuseListing::Append(uint64_t node, uint32_t file_type, std::string_view name) {
  fuse_dirent entry = {};
  entry.ino = node;
  entry.off = text_.size() + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name.size());
  entry.namelen = static_cast<uint32_t>(name.size());
  entry.type = file_type >> 12;
  text_.append(reinterpret_cast<const char*>(&entry), FUSE_NAME_OFFSET);
  text_.append(name);
  text_.resize(FUSE_DIRENT_ALIGN(text_.size()));
}

std::span<const std::byte> FuseListing::Slice(uint64_t offset, uint32_t size) const {
  const size_t begin = std::min<size_t>(offset, text_.size());
  size_t end = begin;
  while (end + FUSE_NAME_OFFSET <= text_.size()) {
    uint32_t name_length;
    memcpy(&name_length, text_.data() + end + offsetof(fuse_dirent, namelen), sizeof(name_length));
    const size_t next = end + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + size_t{name_length});
    // A forged offset may lie in the middle of an entry: what is read there must not lead us out of the text.
    if (next > text_.size() || next - begin > size) break;
    end = next;
  }
  return std::as_bytes(std::span(text_)).subspan(begin, end - begin);
}

}  // namespace ghost::usermode
