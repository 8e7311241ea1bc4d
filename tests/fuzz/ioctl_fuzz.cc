// Ioctls of any number with any bytes, and corrupted shared memory, amid all that threads and agents do.
#include <sys/ioctl.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernel/ghost_uapi.h"
#include "kernel/usermode/core/chaos.h"
#include "kernel/usermode/core/dialect.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ghost::fuzz::FuzzInput;
  FuzzInput input(data, size);
  ghost::usermode::Chaos chaos([&input](uint32_t limit) { return input.Below(limit); }, input.Below(2) == 1);
  constexpr unsigned long kCommands[] = {GHOST_IOC_NULL,
                                         GHOST_IOC_SW_GET_INFO,
                                         GHOST_IOC_SW_FREE,
                                         GHOST_IOC_CREATE_QUEUE,
                                         GHOST_IOC_ASSOC_QUEUE,
                                         GHOST_IOC_SET_DEFAULT_QUEUE,
                                         GHOST_IOC_CONFIG_QUEUE_WAKEUP,
                                         GHOST_IOC_GET_CPU_TIME,
                                         GHOST_IOC_COMMIT_TXN,
                                         GHOST_IOC_SYNC_GROUP_TXN,
                                         GHOST_IOC_TIMERFD_SETTIME,
                                         GHOST_IOC_RUN,
                                         ghost::GHOSTD_IOC_TASK_AFFINITY};
  while (!input.empty()) {
    if (input.Below(4) != 0) {
      chaos.Step();
      continue;
    }
    const uint32_t command =
        input.Below(8) == 0 ? input.Value<uint32_t>() : static_cast<uint32_t>(input.Pick(kCommands));
    // Sometimes another size than the number says, as a caller of the core might have it.
    std::vector<std::byte> argument(input.Below(8) == 0 ? input.Below(64) : _IOC_SIZE(command));
    input.Copy(std::span(argument).first(std::min<size_t>(argument.size(), 64)));
    chaos.RawIoctl(command, argument);
  }
  chaos.End();
  return 0;
}
