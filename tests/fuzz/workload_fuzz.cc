// Workload files: any text is a workload or an error of one line that names the place.
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "kernel/usermode/sim/workload.h"
#include "lib/base/logging.h"
#include "lib/base/status.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto workload = ghost::sim::ParseWorkload(text, "input");
  if (workload.ok()) return 0;
  const std::string message(workload.status().message());
  GHOST_CHECK(absl::StartsWith(message, "input:") && message.find('\n') == std::string::npos) << message;
  GHOST_CHECK(!ghost::HintOf(workload.status()).empty()) << message;
  return 0;
}
