// Small owners and readers of Linux things: file descriptors, mappings, whole small files. No policy here.
#ifndef GHOST_LIB_BASE_FILE_H_
#define GHOST_LIB_BASE_FILE_H_

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ghost {

// Owns a descriptor.
class ScopedFd {
 public:
  ScopedFd() = default;
  explicit ScopedFd(int fd) : fd_(fd) {}
  ~ScopedFd() { reset(); }
  ScopedFd(ScopedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ScopedFd& operator=(ScopedFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ScopedFd(const ScopedFd&) = delete;
  ScopedFd& operator=(const ScopedFd&) = delete;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// Owns a mapping.
class Mapping {
 public:
  Mapping() = default;
  // Maps `size` bytes of fd from offset 0, MAP_SHARED.
  static absl::StatusOr<Mapping> Map(int fd, size_t size, bool writable);
  ~Mapping() { Reset(); }
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void Reset();
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// open(2) with O_CLOEXEC; the error names the path.
absl::StatusOr<ScopedFd> OpenFile(const std::string& path, int flags, int mode = 0);
// The whole of a small file (procfs, sysfs, ghostfs).
absl::StatusOr<std::string> ReadFile(const std::string& path);
// One write(2) of `text` into an existing file.
absl::Status WriteFile(const std::string& path, absl::string_view text);

}  // namespace ghost

#endif  // GHOST_LIB_BASE_FILE_H_
