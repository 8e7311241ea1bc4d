// EmptyKernel: a MockKernel for benchmarks. Every transaction succeeds; commit and yield cost next to nothing, and no
// counted instruction (lib/base/testing/measure.h).
//
// Threads: one.
#ifndef GHOST_LIB_TESTING_EMPTY_KERNEL_H_
#define GHOST_LIB_TESTING_EMPTY_KERNEL_H_

#include <bit>
#include <memory>

#include "kernel/ghost_uapi.h"
#include "lib/base/testing/measure.h"
#include "lib/testing/mock_kernel.h"

namespace ghost {

class EmptyEnclave : public MockEnclave {
 public:
  static constexpr uint32_t kCapacity = 1 << 17;

  EmptyEnclave(int num_cpus, const CpuSet& cpus, const AbiVersion* abi) : MockEnclave(num_cpus, cpus, abi, kCapacity) {}

  int Ioctl(unsigned long number, void* argument) override {
    return Uncounted([&] {
      if (number == GHOST_IOC_RUN) return 0;
      if (number != GHOST_IOC_COMMIT_TXN) return MockEnclave::Ioctl(number, argument);
      // The transactions of the mask, one word of it at a time.
      const auto* mask = reinterpret_cast<const uint64_t*>(static_cast<ghost_ioc_commit_txn*>(argument)->mask_ptr);
      for (int index = 0; index * 64 < num_cpus(); ++index) {
        for (uint64_t word = mask[index]; word != 0; word &= word - 1) {
          txn(index * 64 + std::countr_zero(word)).state = GHOST_TXN_COMPLETE;
        }
      }
      return 0;
    });
  }
};

class EmptyKernel : public MockKernel {
 public:
  using MockKernel::MockKernel;

 protected:
  std::unique_ptr<MockEnclave> MakeEnclave(int num_cpus, const CpuSet& cpus) override {
    return std::make_unique<EmptyEnclave>(num_cpus, cpus, &abi());
  }
};

}  // namespace ghost

#endif  // GHOST_LIB_TESTING_EMPTY_KERNEL_H_
