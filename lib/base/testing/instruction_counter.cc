#include "lib/base/testing/instruction_counter.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/logging.h"

namespace ghost {

std::optional<InstructionCounter> InstructionCounter::Open() {
  perf_event_attr attr = {};
  attr.size = sizeof(attr);
  attr.type = PERF_TYPE_HARDWARE;
  attr.config = PERF_COUNT_HW_INSTRUCTIONS;
  attr.exclude_kernel = 1;
  attr.exclude_hv = 1;
  ScopedFd fd(static_cast<int>(syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!fd.valid()) return std::nullopt;
  InstructionCounter counter(std::move(fd));
  // Some virtual machines have the event but never count.
  if (counter.Read() == 0) return std::nullopt;
  return counter;
}

int64_t InstructionCounter::Read() const {
  int64_t count = 0;
  GHOST_CHECK(read(fd_.get(), &count, sizeof(count)) == sizeof(count));
  return count;
}

}  // namespace ghost
