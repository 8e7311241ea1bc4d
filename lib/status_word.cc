#include "lib/status_word.h"

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace ghost {

absl::Status StatusWordTable::AddRegion(uint32_t id, int numa_node) {
  if (id >= kMaxRegions) return absl::InvalidArgumentError(absl::StrCat("status word region ", id, " is out of range"));
  GHOST_RETURN_IF_ERROR(enclave_->CreateStatusWords(id, numa_node));
  MappedRegion mapped;
  GHOST_ASSIGN_OR_RETURN(mapped.region, enclave_->MapStatusWords(id));
  // The header is the kernel's, but it is read once, and never believed beyond the mapping's end.
  ghost_sw_region_header header = {};
  if (mapped.region.size >= sizeof(header)) header = *reinterpret_cast<ghost_sw_region_header*>(mapped.region.data);
  const uint64_t end = header.start + uint64_t{header.capacity} * sizeof(ghost_status_word);
  if (header.version != GHOST_SW_REGION_VERSION || header.start < sizeof(header) || end > mapped.region.size ||
      header.start % alignof(ghost_status_word) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("status word region ", id, " has an unknown layout"));
  }
  mapped.words = reinterpret_cast<const ghost_status_word*>(mapped.region.data + header.start);
  mapped.capacity = header.capacity;
  regions_[id] = mapped;
  return absl::OkStatus();
}

absl::StatusOr<StatusWord> StatusWordTable::GetInfo(uint32_t type, uint64_t argument) const {
  ghost_ioc_sw_get_info info = {.request = {.type = type, .pad = 0, .arg = argument}, .response = {}};
  if (int result = enclave_->Ioctl(GHOST_IOC_SW_GET_INFO, &info); result < 0) {
    return ErrnoStatus(
        -result, absl::StrCat("no status word of ", type == GHOST_AGENT ? "the agent on cpu " : "gtid ", argument));
  }
  StatusWord word = Find(info.response);
  if (!word.valid()) {
    return absl::OutOfRangeError(absl::StrCat("status word ", info.response.index, " of region ", info.response.id));
  }
  return word;
}

absl::StatusOr<StatusWord> StatusWordTable::OfTask(int64_t gtid) const {
  return GetInfo(GHOST_TASK, static_cast<uint64_t>(gtid));
}

absl::StatusOr<StatusWord> StatusWordTable::OfAgent(int cpu) const {
  return GetInfo(GHOST_AGENT, static_cast<uint64_t>(cpu));
}

int StatusWordTable::Free(const StatusWord& word) const {
  if (!word.valid()) return -EINVAL;
  ghost_sw_info info = word.info();
  return enclave_->Ioctl(GHOST_IOC_SW_FREE, &info);
}

void StatusWordTable::ForEachTask(const std::function<void(const StatusWord&)>& visit) const {
  for (uint32_t id = 0; id < kMaxRegions; ++id) {
    for (uint32_t index = 0; index < regions_[id].capacity; ++index) {
      const StatusWord word = Find({.id = id, .index = index});
      if (word.in_use() && !word.is_agent()) visit(word);
    }
  }
}

}  // namespace ghost
