#include "lib/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {
namespace {

absl::StatusOr<std::string> ReadAll(int fd, const std::string& path) {
  std::string text;
  char buffer[4096];
  for (;;) {
    ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n == 0) return text;
    if (n > 0) {
      text.append(buffer, static_cast<size_t>(n));
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, absl::StrCat("cannot read ", path));
    }
  }
}

}  // namespace

void ScopedFd::reset(int fd) {
  // After EINTR, too, Linux has closed it.
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

absl::StatusOr<Mapping> Mapping::Map(int fd, size_t size, bool writable) {
  void* data = mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return ErrnoStatus(errno, absl::StrCat("cannot map ", size, " bytes"));
  Mapping mapping;
  mapping.data_ = static_cast<std::byte*>(data);
  mapping.size_ = size;
  return mapping;
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    Reset();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void Mapping::Reset() {
  if (data_ != nullptr) munmap(data_, size_);
  data_ = nullptr;
  size_ = 0;
}

absl::StatusOr<ScopedFd> OpenFile(const std::string& path, int flags, int mode) {
  int fd;
  do {
    fd = open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  return ScopedFd(fd);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  GHOST_ASSIGN_OR_RETURN(ScopedFd fd, OpenFile(path, O_RDONLY));
  return ReadAll(fd.get(), path);
}

absl::Status WriteFile(const std::string& path, absl::string_view text) {
  GHOST_ASSIGN_OR_RETURN(ScopedFd fd, OpenFile(path, O_WRONLY));
  ssize_t n;
  do {
    n = write(fd.get(), text.data(), text.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return ErrnoStatus(errno, absl::StrCat("cannot write ", path));
  if (static_cast<size_t>(n) != text.size()) return ErrnoStatus(EIO, absl::StrCat("cannot write all of ", path));
  return absl::OkStatus();
}

}  // namespace ghost
