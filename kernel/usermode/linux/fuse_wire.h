// The envelope of the FUSE protocol: requests out of /dev/fuse, answers and notices into it, and directory listings.
//
// What it is not: it gives no request a meaning (fuse_server.h does). Loop thread only.
#ifndef GHOST_KERNEL_USERMODE_LINUX_FUSE_WIRE_H_
#define GHOST_KERNEL_USERMODE_LINUX_FUSE_WIRE_H_

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/file.h"

namespace ghost::usermode {

// One request. It lies in the device's buffer, and is valid until the next one is read.
struct FuseRequest {
  const fuse_in_header* header = nullptr;
  std::span<std::byte> body;  // what follows the header; at least 16 KiB of the buffer are free behind it

  uint64_t unique() const { return header->unique; }
  // The body's fixed part; null if the request is shorter.
  template <typename T>
  const T* As() const {
    return body.size() < sizeof(T) ? nullptr : reinterpret_cast<const T*>(body.data());
  }
  // The NUL-terminated name that is the body.
  std::optional<std::string_view> Name() const;
};

class FuseDevice {
 public:
  static constexpr uint32_t kMaxWrite = 128 * 1024;  // data of one WRITE

  // Makes `fd` non-blocking.
  explicit FuseDevice(ScopedFd fd);

  enum class ReadResult { kRequest, kNothing, kGone };
  // One read(2). kNothing: none is there, or one that cannot be answered or has been answered (with EIO).
  ReadResult Read(FuseRequest* request);

  // One write(2) each. A failure is not an error of ours: ENOENT when the caller was killed meanwhile, ENODEV when the
  // file system was unmounted. error: 0 or -errno; without error, `payload` is the answer.
  void Reply(uint64_t unique, int64_t error, std::span<const std::byte> payload = {});
  template <typename T>
  void ReplyWith(uint64_t unique, const T& payload) {
    Reply(unique, 0, std::as_bytes(std::span(&payload, 1)));
  }
  // What ioctl(2) returns, or -errno; `out` is copied to the caller's struct unless it is an error.
  void ReplyIoctl(uint64_t unique, int result, std::span<const std::byte> out);
  // Wakes those who poll the file that POLL named `kernel_handle`.
  void NotifyPoll(uint64_t kernel_handle);

  int fd() const { return fd_.get(); }
  bool is_open() const { return fd_.valid(); }
  void Close() { fd_.reset(); }

 private:
  ScopedFd fd_;
  std::vector<uint64_t> buffer_;  // of words, for the alignment of the protocol's structs
};

// A directory as READDIR sends it, whole; an entry's offset is where the next one begins.
class FuseListing {
 public:
  void Clear() { text_.clear(); }
  // file_type: S_IFDIR, …
  void Append(uint64_t node, uint32_t file_type, std::string_view name);
  // As many whole entries from `offset` on as fit into `size` bytes.
  std::span<const std::byte> Slice(uint64_t offset, uint32_t size) const;

 private:
  std::string text_;
};

}  // namespace ghost::usermode

#endif  // GHOST_KERNEL_USERMODE_LINUX_FUSE_WIRE_H_
