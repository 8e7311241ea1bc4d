// The virtual clock and what is going to happen: a heap of events, ordered by time and then by when they were made.
//
// The order depends on nothing else (no address, no hash), so that the same calls give the same run. Events are not
// taken back: whoever makes one gives it a generation, and ignores it when it comes and the generation has moved on.
// Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_EVENT_QUEUE_H_
#define GHOST_KERNEL_USERMODE_SIM_EVENT_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace ghost::sim {

class EventHandler {
 public:
  virtual ~EventHandler() = default;
  virtual void OnEvent(uint32_t id, uint32_t generation) = 0;
};

// A method of `Owner` as a handler.
template <typename Owner, void (Owner::*kMethod)(uint32_t id, uint32_t generation)>
class MethodHandler final : public EventHandler {
 public:
  explicit MethodHandler(Owner* owner) : owner_(owner) {}
  void OnEvent(uint32_t id, uint32_t generation) override { (owner_->*kMethod)(id, generation); }

 private:
  Owner* const owner_;
};

class EventQueue {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  explicit EventQueue(int64_t start_ns) : now_ns_(start_ns) {}

  int64_t now_ns() const { return now_ns_; }
  uint64_t num_processed() const { return processed_; }

  // At `when_ns`, or now if that has passed. Times beyond any clock (kNever) are dropped.
  void Schedule(int64_t when_ns, EventHandler* handler, uint32_t id = 0, uint32_t generation = 0) {
    if (when_ns == kNever) return;
    heap_.push_back({std::max(when_ns, now_ns_), next_order_++, handler, id, generation});
    SiftUp(heap_.size() - 1);
  }

  // When the next event is due; kNever if there is none.
  int64_t NextTime() const { return heap_.empty() ? kNever : heap_.front().when_ns; }

  // Moves the clock to the next event, and handles it. There must be one.
  void RunNext() {
    const Event event = heap_.front();
    heap_.front() = heap_.back();
    heap_.pop_back();
    if (!heap_.empty()) SiftDown();
    now_ns_ = event.when_ns;
    ++processed_;
    event.handler->OnEvent(event.id, event.generation);
  }

  // Moves the clock forward without an event; never beyond the next one.
  void AdvanceTo(int64_t when_ns) { now_ns_ = std::max(now_ns_, std::min(when_ns, NextTime())); }

 private:
  struct Event {
    int64_t when_ns;
    uint64_t order;
    EventHandler* handler;
    uint32_t id;
    uint32_t generation;
    bool Before(const Event& other) const {
      return when_ns != other.when_ns ? when_ns < other.when_ns : order < other.order;
    }
  };
  // Four children a node: two cache lines are read for each of half as many levels.
  static constexpr size_t kArity = 4;

  void SiftUp(size_t at) {
    const Event event = heap_[at];
    while (at > 0) {
      const size_t parent = (at - 1) / kArity;
      if (!event.Before(heap_[parent])) break;
      heap_[at] = heap_[parent];
      at = parent;
    }
    heap_[at] = event;
  }

  void SiftDown() {
    const Event event = heap_.front();
    size_t at = 0;
    for (;;) {
      const size_t first = at * kArity + 1;
      if (first >= heap_.size()) break;
      size_t best = first;
      const size_t end = std::min(first + kArity, heap_.size());
      for (size_t child = first + 1; child < end; ++child) {
        if (heap_[child].Before(heap_[best])) best = child;
      }
      if (!heap_[best].Before(event)) break;
      heap_[at] = heap_[best];
      at = best;
    }
    heap_[at] = event;
  }

  int64_t now_ns_;
  uint64_t next_order_ = 0;
  uint64_t processed_ = 0;
  std::vector<Event> heap_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_EVENT_QUEUE_H_
