#include "lib/channel.h"

#include <array>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {

absl::StatusOr<Channel> Channel::Create(KernelEnclave* enclave, int elems, int numa_node, const CpuSet& wakeup) {
  Channel channel;
  channel.enclave_ = enclave;
  channel.abi_ = &enclave->abi();
  GHOST_ASSIGN_OR_RETURN(channel.queue_, enclave->CreateQueue(elems, numa_node));
  const Region& region = channel.queue_.region;
  ghost_queue_header header = {};
  if (region.size >= sizeof(header)) std::memcpy(&header, region.data, sizeof(header));
  const uint64_t end = uint64_t{header.start} + sizeof(ghost_ring) + uint64_t{header.nelems} * sizeof(ghost_msg);
  if (header.version != GHOST_QUEUE_VERSION || header.start < sizeof(header) || !std::has_single_bit(header.nelems) ||
      header.start % alignof(ghost_ring) != 0 || end > region.size) {
    return absl::FailedPreconditionError("the kernel's queue has an unknown layout");
  }
  channel.ring_ = reinterpret_cast<ghost_ring*>(region.data + header.start);
  channel.begin_ = region.data + header.start + sizeof(ghost_ring);
  channel.end_ = channel.begin_ + size_t{header.nelems} * sizeof(ghost_msg);
  channel.mask_ = header.nelems - 1;
  channel.at_ = channel.DropAll(LoadShared<Order::kAcquire>(channel.ring_->tail));
  if (!wakeup.empty()) GHOST_RETURN_IF_ERROR(channel.ConfigureWakeup(wakeup));
  return channel;
}

Channel::Cursor Channel::DropAll(uint32_t head) {
  tail_ = limit_tail_ = head;
  StoreShared<Order::kRelease>(ring_->tail, head);
  return {.slot = begin_, .limit = begin_, .next = begin_};
}

int Channel::Associate(int64_t gtid, uint32_t barrier) {
  ghost_ioc_assoc_queue argument = {.fd = queue_.fd,
                                    .pad = 0,
                                    .src = {.type = GHOST_TASK, .pad = 0, .arg = static_cast<uint64_t>(gtid)},
                                    .barrier = barrier,
                                    .flags = 0};
  return enclave_->Ioctl(GHOST_IOC_ASSOC_QUEUE, &argument);
}

absl::Status Channel::SetDefault() {
  ghost_ioc_set_default_queue argument = {.fd = queue_.fd};
  const int result = enclave_->Ioctl(GHOST_IOC_SET_DEFAULT_QUEUE, &argument);
  return result < 0 ? ErrnoStatus(-result, "cannot set the default queue") : absl::OkStatus();
}

absl::Status Channel::ConfigureWakeup(const CpuSet& cpus) {
  std::array<ghost_agent_wakeup, GHOST_MAX_WINFO> targets = {};
  if (cpus.size() > GHOST_MAX_WINFO) {
    return absl::InvalidArgumentError(absl::StrCat("a queue cannot wake the agents of ", cpus.size(), " CPUs"));
  }
  int count = 0;
  for (int cpu : cpus) targets[count++] = {.cpu = cpu, .prio = 0};
  ghost_ioc_config_queue_wakeup argument = {
      .qfd = queue_.fd, .pad = 0, .w = reinterpret_cast<uint64_t>(targets.data()), .ninfo = count, .flags = 0};
  const int result = enclave_->Ioctl(GHOST_IOC_CONFIG_QUEUE_WAKEUP, &argument);
  return result < 0 ? ErrnoStatus(-result, absl::StrCat("cannot let a queue wake the agents of CPUs ", ToCpuList(cpus)))
                    : absl::OkStatus();
}

}  // namespace ghost
