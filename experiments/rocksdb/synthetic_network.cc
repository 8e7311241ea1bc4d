#include "experiments/rocksdb/synthetic_network.h"

#include <algorithm>

namespace ghost {
namespace {

// An integer below `count` from a random number below 2^32 (Lemire, without the rejection that 2^32 / count deserves).
uint32_t Below(uint32_t count, uint32_t random) { return static_cast<uint32_t>((uint64_t{random} * count) >> 32); }

}  // namespace

SyntheticNetwork::SyntheticNetwork(const Options& options)
    : options_(options),
      noticed_(options.throughput, options.start, options.seed),
      noticed_until_(options.start),
      received_(options.throughput, options.start, options.seed),
      content_(~options.seed) {}

bool SyntheticNetwork::Notice(Time now) {
  const Time until = std::min(now, options_.end);
  uint64_t count = 0;
  for (; noticed_.next() < until && count < kMaxNotice; ++count) {
    if (noticed_.next() >= options_.measure_from) lateness_.Add(Time::NanosecondsBetween(noticed_.next(), now));
    noticed_.Advance();
  }
  noticed_until_ = std::max(noticed_until_, std::min(until, noticed_.next()));
  if (count == 0) return false;
  noticed_count_.store(noticed_count_.load(std::memory_order_relaxed) + count, std::memory_order_release);
  return true;
}

bool SyntheticNetwork::Receive(Time now, Request* request) {
  if (!HasWaiting()) return false;
  const uint64_t random = content_();
  // 32 bits say which kind, 32 others which key.
  const bool range = static_cast<double>(random >> 32) < options_.range_ratio * 0x1p32;
  *request = Request{
      .kind = range ? RequestKind::kRange : RequestKind::kGet,
      .key = Below(range ? options_.range_keys : options_.get_keys, static_cast<uint32_t>(random)),
      .arrival = received_.next(),
      // It may have been noticed by another thread since the receiver looked at its clock.
      .received = std::max(now, received_.next()),
  };
  received_.Advance();
  ++received_count_;
  return true;
}

}  // namespace ghost
