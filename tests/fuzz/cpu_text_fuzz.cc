// CPU lists, CPU masks, numbers and commands as people write them into ghostfs files.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "kernel/usermode/core/text.h"
#include "lib/base/cpu_set.h"
#include "lib/base/logging.h"
#include "lib/topology.h"
#include "tests/fuzz/fuzz_input.h"

namespace ghost {
namespace {

void CpuTexts(const std::string& text, int limit) {
  const CpuSet before = {3, 700};
  CpuSet list = before;
  if (ParseCpuList(text, &list, limit) == CpuParseError::kOk) {
    GHOST_CHECK(list.Last() < limit) << text;
    CpuSet again;
    GHOST_CHECK(ParseCpuList(ToCpuList(list), &again) == CpuParseError::kOk && again == list) << text;
  } else {
    GHOST_CHECK(list == before) << text;
  }
  CpuSet mask = before;
  if (ParseCpuMask(text, &mask, limit) == CpuParseError::kOk) {
    GHOST_CHECK(mask.Last() < limit) << text;
    CpuSet again;
    GHOST_CHECK(ParseCpuMask(ToCpuMask(mask, limit), &again) == CpuParseError::kOk && again == mask) << text;
  } else {
    GHOST_CHECK(mask == before) << text;
  }
}

void UserCpus(const std::string& text) {
  static const Topology topology = Topology::Flat(8);
  const absl::StatusOr<CpuSet> cpus = topology.ParseCpus(text);
  if (cpus.ok()) {
    GHOST_CHECK(cpus->IsSubsetOf(topology.all_cpus())) << text;
  } else {
    GHOST_CHECK(!cpus.status().message().empty()) << text;
  }
}

// strtoull knows the same prefixes; what it skips (blanks) or takes (a minus) is not ours to take.
void Numbers(const std::string& text) {
  uint64_t value = 7;
  const int error = usermode::ParseUnsigned(text, &value);
  if (error == 0) {
    errno = 0;
    GHOST_CHECK(std::strtoull(text.c_str(), nullptr, 0) == value && errno == 0) << text;
  } else {
    GHOST_CHECK(value == 7 && (error == -EINVAL || error == -ERANGE)) << text;
  }
  int64_t integer = 7;
  const int signed_error = usermode::ParseInteger(text, &integer);
  if (signed_error == 0) {
    errno = 0;
    GHOST_CHECK(std::strtoll(text.c_str(), nullptr, 0) == integer && errno == 0) << text;
  } else {
    GHOST_CHECK(integer == 7) << text;
  }
  GHOST_CHECK(error != 0 || signed_error == 0 || value > INT64_MAX) << text;
}

void Commands(const std::string& text) {
  usermode::Scanner scanner(usermode::FirstLine(text));
  uint64_t id = 0;
  uint32_t version = 0;
  int32_t node = 0;
  if (scanner.Word("create ").Unsigned(&id).ok()) {
    GHOST_CHECK(scanner.rest().size() < text.size()) << text;
    scanner.Unsigned(&version).Signed(&node);
  }
  GHOST_CHECK(scanner.rest().size() <= text.size()) << text;
}

}  // namespace
}  // namespace ghost

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ghost::fuzz::FuzzInput input(data, size);
  constexpr int kLimits[] = {1024, 1, 8, 33, 64, 65};
  const int limit = input.Pick(kLimits);
  const std::string text = input.Rest();
  ghost::CpuTexts(text, limit);
  ghost::UserCpus(text);
  ghost::Numbers(text);
  ghost::Commands(text);
  return 0;
}
