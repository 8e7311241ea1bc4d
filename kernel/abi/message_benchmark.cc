// What decoding and encoding a message costs, by type.
#include <cstring>

#include "benchmark/benchmark.h"
#include "kernel/abi/message.h"
#include "kernel/abi/message_decoder.h"
#include "lib/base/testing/per_op.h"

namespace ghost {
namespace {

constexpr uint32_t kVersion = kNewestAbi;

void BM_Decode(benchmark::State& state, const Payload& payload) {
  const AbiVersion& abi = *FindAbi(kVersion);
  std::byte bytes[kMaxMessageBytes];
  const size_t length = EncodeMessage(abi, MakeMessage(1, payload), bytes);
  Message message;
  PerOp per_op(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(DecodeMessage(abi, std::span(bytes, length), &message));
    benchmark::DoNotOptimize(message);
  }
}
BENCHMARK_CAPTURE(BM_Decode, TaskNew, TaskNew{.gtid = 1});
BENCHMARK_CAPTURE(BM_Decode, TaskWakeup, TaskWakeup{.gtid = 1});
BENCHMARK_CAPTURE(BM_Decode, TaskBlocked, TaskBlocked{.gtid = 1});
BENCHMARK_CAPTURE(BM_Decode, TaskPreempt, TaskPreempt{.gtid = 1});
BENCHMARK_CAPTURE(BM_Decode, TaskDead, TaskDead{.gtid = 1});
BENCHMARK_CAPTURE(BM_Decode, CpuTick, CpuTick{.cpu = 1});

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
  PerOp per_op(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(bytes);
    ghost_msg header;
    std::memcpy(&header, bytes, sizeof(header));
    benchmark::DoNotOptimize(VisitMessage(abi, header, bytes + sizeof(header), SumGtids{&sum}));
  }
  benchmark::DoNotOptimize(sum);
}
BENCHMARK_CAPTURE(BM_Visit, TaskWakeup, TaskWakeup{.gtid = 1});
BENCHMARK_CAPTURE(BM_Visit, TaskBlocked, TaskBlocked{.gtid = 1});

void BM_Encode(benchmark::State& state, const Payload& payload) {
  const AbiVersion& abi = *FindAbi(kVersion);
  const Message message = MakeMessage(1, payload);
  std::byte bytes[kMaxMessageBytes];
  PerOp per_op(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(EncodeMessage(abi, message, bytes));
    benchmark::DoNotOptimize(bytes);
  }
}
BENCHMARK_CAPTURE(BM_Encode, TaskNew, TaskNew{.gtid = 1});
BENCHMARK_CAPTURE(BM_Encode, TaskBlocked, TaskBlocked{.gtid = 1});

void BM_GtidOf(benchmark::State& state) {
  const Message message = MakeMessage(1, TaskBlocked{.gtid = 5});
  PerOp per_op(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(&message);
    benchmark::DoNotOptimize(GtidOf(message));
  }
}
BENCHMARK(BM_GtidOf);

}  // namespace
}  // namespace ghost
