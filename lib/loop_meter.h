// LoopMeter: how long a polling agent's loop takes, and how much of it goes to reading messages.
//
// Mean time comes from the clock reads that there are anyway, one a loop. What is inside a loop needs two more: only
// every kSample-th loop has them. What it is not: a profile; sleeps are not in it.
//
// Threads: one at a time changes it (the global agent); any may read.
#ifndef GHOST_LIB_LOOP_METER_H_
#define GHOST_LIB_LOOP_METER_H_

#include <cstdint>

#include "lib/base/counter.h"
#include "lib/base/time.h"

namespace ghost {

class LoopMeter {
 public:
  static constexpr int64_t kSample = 1024;

  struct Totals {
    int64_t loops = 0;
    int64_t loops_ns = 0;  // from one loop's begin to the next one's
    int64_t samples = 0;
    int64_t read_ns = 0;  // of the samples: from a loop's begin until all messages were read
    int64_t rest_ns = 0;  // of the samples: from then to the loop's end

    double MeanNs() const { return loops == 0 ? 0 : static_cast<double>(loops_ns) / static_cast<double>(loops); }
  };

  // A loop begins at `now`. `real`: that is what Time::Now() says; else (a simulation) nothing is sampled.
  void Begin(Time now, bool real) {
    if (resumed_) [[unlikely]] {
      resumed_ = false;
    } else {
      loops_ns_.Add(Time::NanosecondsBetween(begin_, now));
    }
    begin_ = now;
    loops_.Add(1);
    sampling_ = loops_.value() % kSample == 0 && real;
  }
  void MessagesRead() {
    if (sampling_) [[unlikely]]
      read_ = Time::Now();
  }
  void End() {
    if (sampling_) [[unlikely]]
      AddSample(read_, Time::Now());
  }
  // The agent sleeps: the time until the next Begin is nobody's.
  void Pause() { resumed_ = true; }

  Totals totals() const {
    return {.loops = loops_.value(),
            .loops_ns = loops_ns_.value(),
            .samples = samples_.value(),
            .read_ns = read_ns_.value(),
            .rest_ns = rest_ns_.value()};
  }

 private:
  [[gnu::noinline]] void AddSample(Time read, Time end) {
    sampling_ = false;
    samples_.Add(1);
    read_ns_.Add(Time::NanosecondsBetween(begin_, read));
    rest_ns_.Add(Time::NanosecondsBetween(read, end));
  }

  bool resumed_ = true;
  bool sampling_ = false;
  Time begin_;
  Time read_;
  Counter loops_, loops_ns_, samples_, read_ns_, rest_ns_;
};

}  // namespace ghost

#endif  // GHOST_LIB_LOOP_METER_H_
