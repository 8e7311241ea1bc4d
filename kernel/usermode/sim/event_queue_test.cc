#include "kernel/usermode/sim/event_queue.h"

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace ghost::sim {
namespace {

class Recorder : public EventHandler {
 public:
  explicit Recorder(EventQueue* events) : events_(*events) {}
  void OnEvent(uint32_t id, uint32_t generation) override {
    seen.push_back({events_.now_ns(), id});
    generations.push_back(generation);
  }
  std::vector<std::pair<int64_t, uint32_t>> seen;
  std::vector<uint32_t> generations;

 private:
  EventQueue& events_;
};

TEST(EventQueueTest, ByTimeThenByOrderOfInsertion) {
  EventQueue events(100);
  Recorder recorder(&events);
  std::mt19937 random(1);
  std::vector<std::pair<int64_t, uint32_t>> expected;
  for (uint32_t i = 0; i < 1000; ++i) {
    const int64_t when = 100 + static_cast<int64_t>(random() % 50);
    events.Schedule(when, &recorder, i, i + 7);
    expected.push_back({when, i});
  }
  std::stable_sort(expected.begin(), expected.end(), [](auto a, auto b) { return a.first < b.first; });
  while (events.NextTime() != EventQueue::kNever) events.RunNext();
  EXPECT_EQ(recorder.seen, expected);
  EXPECT_EQ(recorder.generations[0], expected[0].second + 7);
  EXPECT_EQ(events.num_processed(), 1000u);
}

TEST(EventQueueTest, ThePastIsNowAndNeverIsDropped) {
  EventQueue events(100);
  Recorder recorder(&events);
  events.Schedule(5, &recorder, 1);
  events.Schedule(EventQueue::kNever, &recorder, 2);
  EXPECT_EQ(events.NextTime(), 100);
  events.RunNext();
  EXPECT_EQ(events.NextTime(), EventQueue::kNever);
}

TEST(EventQueueTest, TheClockDoesNotPassAnEvent) {
  EventQueue events(0);
  Recorder recorder(&events);
  events.Schedule(10, &recorder);
  events.AdvanceTo(20);
  EXPECT_EQ(events.now_ns(), 10);
  events.AdvanceTo(5);
  EXPECT_EQ(events.now_ns(), 10);
}

}  // namespace
}  // namespace ghost::sim
