#include "kernel/usermode/linux/proc.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ghost::usermode {
namespace {

// Flags of a kernel's task (field 9 of stat), the same in all versions.
constexpr unsigned kPfExiting = 0x00000004;
constexpr unsigned kPfKthread = 0x00200000;

// Reads /proc/<tid>/<name> into a buffer on the stack (these files are small; longer text is cut).
template <size_t N>
bool ReadThreadFile(int32_t tid, const char* name, std::array<char, N>* text) {
  char path[64];
  std::snprintf(path, sizeof(path), "/proc/%d/%s", tid, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t size = read(fd, text->data(), N - 1);
  close(fd);
  if (size < 0) return false;
  (*text)[size] = '\0';
  return true;
}

// The text after "<name>:" at the start of a line, or null.
const char* Field(const char* text, const char* name) {
  const char* line = text;
  size_t length = std::strlen(name);
  while (line != nullptr) {
    if (std::strncmp(line, name, length) == 0 && line[length] == ':') return line + length + 1;
    line = std::strchr(line, '\n');
    if (line != nullptr) ++line;
  }
  return nullptr;
}

uint64_t HexField(const char* text, const char* name) {
  const char* value = Field(text, name);
  return value == nullptr ? 0 : std::strtoull(value, nullptr, 16);
}

}  // namespace

std::optional<ThreadStat> ReadThreadStat(int32_t tid) {
  std::array<char, 1024> text;
  if (!ReadThreadFile(tid, "stat", &text)) return std::nullopt;
  // The name, in parentheses, may hold anything: fields are counted from the last ')'.
  const char* fields = std::strrchr(text.data(), ')');
  if (fields == nullptr) return std::nullopt;
  ThreadStat stat;
  unsigned flags = 0;
  long nice = 0;
  int matched =
      std::sscanf(fields + 1, " %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %ld %*d %*d %" SCNu64,
                  &stat.state, &flags, &nice, &stat.start_time);
  if (matched != 4) return std::nullopt;
  stat.kernel_thread = (flags & kPfKthread) != 0;
  stat.exiting = (flags & kPfExiting) != 0;
  stat.nice = static_cast<int>(nice);
  return stat;
}

char ReadThreadState(int32_t tid) {
  // /proc/<tid>/stat, without the task, adds up the times of all threads of the process.
  char name[32];
  std::snprintf(name, sizeof(name), "task/%d/stat", tid);
  std::array<char, 512> text;
  if (!ReadThreadFile(tid, name, &text)) return '?';
  const char* fields = std::strrchr(text.data(), ')');
  return fields != nullptr && fields[1] == ' ' ? fields[2] : '?';
}

std::optional<ThreadStatus> ReadThreadStatus(int32_t tid) {
  std::array<char, 4096> text;
  if (!ReadThreadFile(tid, "status", &text)) return std::nullopt;
  const char* tgid = Field(text.data(), "Tgid");
  const char* tracer = Field(text.data(), "TracerPid");
  const char* uid = Field(text.data(), "Uid");
  if (tgid == nullptr || tracer == nullptr || uid == nullptr) return std::nullopt;
  ThreadStatus status;
  status.tgid = std::atoi(tgid);
  status.tracer = std::atoi(tracer);
  if (std::sscanf(uid, "%u %u", &status.uid, &status.euid) != 2) return std::nullopt;
  uint64_t blocked = HexField(text.data(), "SigBlk");
  status.pending = (HexField(text.data(), "SigPnd") | HexField(text.data(), "ShdPnd")) & ~blocked;
  status.ignored = HexField(text.data(), "SigIgn");
  status.caught = HexField(text.data(), "SigCgt");
  return status;
}

std::optional<long> SleepsInSystemCall(int32_t tid) {
  std::array<char, 256> text;
  // "running", "-1 sp pc" outside a system call, or "number arguments… sp pc".
  if (!ReadThreadFile(tid, "syscall", &text) || text[0] < '0' || text[0] > '9') return std::nullopt;
  return std::strtol(text.data(), nullptr, 10);
}

std::optional<uint64_t> ReadRuntimeNs(int32_t tid) {
  std::array<char, 128> text;
  if (!ReadThreadFile(tid, "schedstat", &text)) return std::nullopt;
  return std::strtoull(text.data(), nullptr, 10);
}

}  // namespace ghost::usermode
