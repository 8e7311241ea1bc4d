#include "lib/gtid.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <bit>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/file.h"

namespace ghost {
namespace {

int ReadSeqnumBits() {
  constexpr uint64_t kUsualPidLimit = 4194304;
  absl::StatusOr<std::string> text = ReadFile("/proc/sys/kernel/pid_max_max");
  uint64_t limit;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &limit) || limit < 2) limit = kUsualPidLimit;
  // Bit 63 stays 0; thread ids are below the limit.
  return 63 - std::bit_width(limit - 1);
}

}  // namespace

int Gtid::SeqnumBits() {
  static const int bits = ReadSeqnumBits();
  return bits;
}

absl::StatusOr<Gtid> Gtid::FromTid(pid_t tid, const std::string& procfs) {
  const std::string path = absl::StrCat(procfs, "/", tid, "/ghost/gtid");
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  int64_t id;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &id)) {
    return absl::DataLossError(absl::StrCat(path, " holds no number"));
  }
  return Gtid(id);
}

absl::StatusOr<Gtid> Gtid::Current() { return FromTid(static_cast<pid_t>(syscall(SYS_gettid))); }

std::string Gtid::Describe() const {
  if (*this == Null()) return "<null>";
  if (*this == Agent()) return "<agent>";
  if (*this == Idle()) return "<idle>";
  if (!is_task()) return absl::StrCat("<invalid ", id_, ">");
  return absl::StrCat(tid(), "/", id_);
}

}  // namespace ghost
