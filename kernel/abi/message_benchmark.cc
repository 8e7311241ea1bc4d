// What decoding and encoding a message costs, by type; see lib/base/testing/measure.h.
#include <cstring>

#include "benchmark/benchmark.h"
#include "kernel/abi/message.h"
#include "kernel/abi/message_decoder.h"
#include "lib/base/testing/measure.h"

namespace ghost {
namespace {

constexpr uint32_t kVersion = kNewestAbi;
constexpr int kOperations = 10'000;

// Measures kOperations calls of `operation`.
template <typename Operation>
void Repeat(benchmark::State& state, Operation operation) {
  Measure(
      state, [] {},
      [&] {
        for (int i = 0; i < kOperations; ++i) operation();
        return int64_t{kOperations};
      });
}

void BM_Decode(benchmark::State& state, const Payload& payload) {
  const AbiVersion& abi = *FindAbi(kVersion);
  std::byte bytes[kMaxMessageBytes];
  const size_t length = EncodeMessage(abi, MakeMessage(1, payload), bytes);
  Message message;
  Repeat(state, [&] {
    benchmark::DoNotOptimize(DecodeMessage(abi, std::span(bytes, length), &message));
    benchmark::DoNotOptimize(message);
  });
}
BENCHMARK_CAPTURE(BM_Decode, TaskNew, TaskNew{.gtid = 1})->Apply(Measured);
BENCHMARK_CAPTURE(BM_Decode, TaskWakeup, TaskWakeup{.gtid = 1})->Apply(Measured);
BENCHMARK_CAPTURE(BM_Decode, TaskBlocked, TaskBlocked{.gtid = 1})->Apply(Measured);
BENCHMARK_CAPTURE(BM_Decode, TaskPreempt, TaskPreempt{.gtid = 1})->Apply(Measured);
BENCHMARK_CAPTURE(BM_Decode, CpuTick, CpuTick{.cpu = 1})->Apply(Measured);

struct SumGtids {
  int64_t* sum;
  void operator()(const auto& m) const {
    if constexpr (requires { m.gtid; }) *sum += m.gtid;
  }
};

void BM_Visit(benchmark::State& state, const Payload& payload) {
  const AbiVersion& abi = *FindAbi(kVersion);
  std::byte bytes[kMaxMessageBytes];
  EncodeMessage(abi, MakeMessage(1, payload), bytes);
  int64_t sum = 0;
  Repeat(state, [&] {
    benchmark::DoNotOptimize(bytes);
    ghost_msg header;
    std::memcpy(&header, bytes, sizeof(header));
    benchmark::DoNotOptimize(VisitMessage(abi, header, bytes + sizeof(header), SumGtids{&sum}));
  });
  benchmark::DoNotOptimize(sum);
}
BENCHMARK_CAPTURE(BM_Visit, TaskWakeup, TaskWakeup{.gtid = 1})->Apply(Measured);
BENCHMARK_CAPTURE(BM_Visit, TaskBlocked, TaskBlocked{.gtid = 1})->Apply(Measured);

void BM_Encode(benchmark::State& state, const Payload& payload) {
  const AbiVersion& abi = *FindAbi(kVersion);
  const Message message = MakeMessage(1, payload);
  std::byte bytes[kMaxMessageBytes];
  Repeat(state, [&] {
    benchmark::DoNotOptimize(EncodeMessage(abi, message, bytes));
    benchmark::DoNotOptimize(bytes);
  });
}
BENCHMARK_CAPTURE(BM_Encode, TaskNew, TaskNew{.gtid = 1})->Apply(Measured);
BENCHMARK_CAPTURE(BM_Encode, TaskBlocked, TaskBlocked{.gtid = 1})->Apply(Measured);

}  // namespace
}  // namespace ghost
