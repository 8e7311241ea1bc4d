#include "experiments/rocksdb/request_stats.h"

namespace ghost {

StageTimes TimesOf(const Request& r) {
  return {Time::NanosecondsBetween(r.arrival, r.received), Time::NanosecondsBetween(r.received, r.assigned),
          Time::NanosecondsBetween(r.assigned, r.started), Time::NanosecondsBetween(r.started, r.finished),
          Time::NanosecondsBetween(r.arrival, r.finished)};
}

void RequestStats::Add(const Request& request) {
  if (request.arrival < options_.measure_from) return;
  Stages& stages = Of(request.kind);
  const StageTimes times = TimesOf(request);
  for (int i = 0; i < kNumStages; ++i) stages[i].Add(times[i]);
  if (options_.samples) samples_.push_back({request.kind, request.arrival, times});
}

void RequestStats::Merge(const RequestStats& other) {
  for (RequestKind kind : {RequestKind::kGet, RequestKind::kRange}) {
    const Stages* stages = other.of(kind);
    if (stages == nullptr) continue;
    for (int i = 0; i < kNumStages; ++i) Of(kind)[i].Merge((*stages)[i]);
  }
  samples_.insert(samples_.end(), other.samples_.begin(), other.samples_.end());
}

std::unique_ptr<RequestStats::Stages> RequestStats::all() const {
  auto all = std::make_unique<Stages>();
  for (const auto& stages : stages_) {
    for (int i = 0; stages != nullptr && i < kNumStages; ++i) (*all)[i].Merge((*stages)[i]);
  }
  return all;
}

uint64_t RequestStats::count() const {
  uint64_t count = 0;
  for (const auto& stages : stages_) count += stages == nullptr ? 0 : stages->back().count();
  return count;
}

RequestStats::Stages& RequestStats::Of(RequestKind kind) {
  std::unique_ptr<Stages>& stages = stages_[static_cast<int>(kind)];
  if (stages == nullptr) stages = std::make_unique<Stages>();
  return *stages;
}

}  // namespace ghost
