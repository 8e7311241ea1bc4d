// Texts into all files of ghostfs, by agents, tasks and others, with tasks and agents there: first whole texts of any
// bytes, then what random_test does with the rest of the input, so that the texts' effects are lived with.
#include <cstdint>
#include <string>

#include "kernel/usermode/core/chaos.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ghost::fuzz::FuzzInput;
  FuzzInput input(data, size);
  ghost::usermode::Chaos chaos([&input](uint32_t limit) { return input.Below(limit); }, input.Below(2) == 1);
  // The beginning that nothing happens without.
  chaos.WriteText("ctl", input.Below(2) == 0 ? "create 1 91" : "create 1 69");
  chaos.WriteText("enclave_1/ctl", "create sw_region 0 0");
  chaos.WriteText("enclave_1/cpulist", "0-3");
  constexpr const char* kFiles[] = {"enclave_1/ctl",
                                    "enclave_1/ctl",
                                    "ctl",
                                    "enclave_1/tasks",
                                    "enclave_1/cpulist",
                                    "enclave_1/cpumask",
                                    "enclave_1/runnable_timeout",
                                    "enclave_1/deliver_ticks",
                                    "enclave_1/agent_online",
                                    "enclave_1/deliver_cpu_availability",
                                    "enclave_1/status",
                                    "enclave_1/cpu_data",
                                    "enclave_1/sw_regions/sw_0",
                                    "enclave_2/ctl",
                                    "enclave_2/tasks",
                                    "enclave_2/cpulist",
                                    "version"};
  constexpr size_t kMaxText = 5000;  // more than a write takes
  while (!input.empty()) {
    if (input.Below(3) == 0) {
      chaos.Step();
    } else {
      const std::string path = input.Pick(kFiles);
      chaos.WriteText(path, input.Below(32) == 0 ? std::string(kMaxText, '1') : input.Text(255));
    }
  }
  chaos.End();
  return 0;
}
