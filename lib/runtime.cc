#include "lib/runtime.h"

namespace ghost {

RuntimeCounters& RuntimeCounters::operator+=(const RuntimeCounters& other) {
  for (const auto& [name, member] : kRuntimeCounters) this->*member += other.*member;
  return *this;
}

RuntimeCounters Runtime::TotalCounters() const {
  RuntimeCounters total;
  for (int cpu : cpus()) total += Counters(cpu);
  return total;
}

}  // namespace ghost
