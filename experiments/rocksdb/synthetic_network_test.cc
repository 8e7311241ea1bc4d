#include "experiments/rocksdb/synthetic_network.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace ghost {
namespace {

constexpr Time kStart = Time::FromNanoseconds(5'000'000'000);

Time After(absl::Duration duration) { return kStart + duration; }

SyntheticNetwork::Options AtRate(double throughput) {
  return {.throughput = throughput, .get_keys = 1000, .range_keys = 100, .start = kStart, .measure_from = kStart};
}

std::vector<Request> ReceiveAll(SyntheticNetwork& network, Time now) {
  std::vector<Request> requests;
  for (Request request; network.Receive(now, &request);) requests.push_back(request);
  return requests;
}

TEST(SyntheticNetworkTest, NothingIsReceivedBeforeItWasNoticed) {
  SyntheticNetwork network(AtRate(1000));
  EXPECT_FALSE(network.HasWaiting());
  EXPECT_TRUE(ReceiveAll(network, After(absl::Seconds(1))).empty());
  EXPECT_FALSE(network.Notice(kStart));
  EXPECT_TRUE(network.Notice(After(absl::Seconds(1))));
  EXPECT_TRUE(network.HasWaiting());
  EXPECT_FALSE(ReceiveAll(network, After(absl::Seconds(1))).empty());
  EXPECT_FALSE(network.HasWaiting());
}

// Noticed each 50 us, at rates from low to as high as no generator goes.
TEST(SyntheticNetworkTest, AsManyArriveAsWereAskedFor) {
  for (double rate : {100.0, 20'000.0, 500'000.0, 5'000'000.0}) {
    SyntheticNetwork network(AtRate(rate));
    std::vector<Request> requests;
    const int steps = rate > 1e6 ? 1'000 : 20'000;
    for (int i = 1; i <= steps; ++i) {
      const Time now = After(i * absl::Microseconds(50));
      while (network.Notice(now)) {
        for (const Request& request : ReceiveAll(network, now)) requests.push_back(request);
      }
    }
    const double expected = rate * steps * 50e-6;
    EXPECT_NEAR(static_cast<double>(requests.size()), expected, 4 * std::sqrt(expected));
    for (size_t i = 0; i < requests.size(); ++i) {
      ASSERT_GE(requests[i].arrival, i == 0 ? kStart : requests[i - 1].arrival);
      ASSERT_GE(requests[i].received, requests[i].arrival);
      ASSERT_LE(requests[i].received - requests[i].arrival, absl::Microseconds(51));
    }
  }
}

TEST(SyntheticNetworkTest, TheShareOfRangeRequests) {
  for (double ratio : {0.0, 0.005, 0.75, 1.0}) {
    SyntheticNetwork::Options options = AtRate(100'000);
    options.range_ratio = ratio;
    SyntheticNetwork network(options);
    double ranges = 0, all = 0;
    std::vector<int> range_keys(100), get_keys(1000);
    while (network.Notice(After(absl::Seconds(2)))) {
      for (const Request& request : ReceiveAll(network, After(absl::Seconds(2)))) {
        ++all;
        if (request.kind == RequestKind::kRange) {
          ++ranges;
          ++range_keys.at(request.key);
        } else {
          ++get_keys.at(request.key);
        }
      }
    }
    EXPECT_NEAR(ranges, all * ratio, 4 * std::sqrt(all * ratio * (1 - ratio))) << ratio;
    if (ratio == 0.75) {
      for (int count : range_keys) EXPECT_NEAR(count, ranges / 100, 5 * std::sqrt(ranges / 100));
      for (int count : get_keys) EXPECT_NEAR(count, (all - ranges) / 1000, 6 * std::sqrt((all - ranges) / 1000));
    }
  }
}

// Whoever is late, the generator or the receiver: each request says when it should have arrived.
TEST(SyntheticNetworkTest, NothingIsReceivedBeforeItArrives) {
  SyntheticNetwork network(AtRate(1000));
  network.Notice(After(absl::Seconds(1)));
  for (const Request& request : ReceiveAll(network, kStart)) EXPECT_EQ(request.received, request.arrival);
}

TEST(SyntheticNetworkTest, NobodyCanDelayAnArrival) {
  SyntheticNetwork in_time(AtRate(10'000)), late(AtRate(10'000)), unread(AtRate(10'000));
  std::vector<Request> expected;
  for (int i = 1; i <= 100'000; ++i) {
    const Time now = After(i * absl::Microseconds(10));
    unread.Notice(now);
    if (!in_time.Notice(now)) continue;
    for (const Request& request : ReceiveAll(in_time, now)) expected.push_back(request);
  }
  std::vector<Request> found;
  while (late.Notice(After(absl::Seconds(1)))) {
    for (const Request& request : ReceiveAll(late, After(absl::Seconds(60)))) found.push_back(request);
  }
  const std::vector<Request> read_late = ReceiveAll(unread, After(absl::Seconds(60)));
  ASSERT_EQ(found.size(), expected.size());
  ASSERT_EQ(read_late.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].arrival, expected[i].arrival);
    EXPECT_EQ(found[i].key, expected[i].key);
    EXPECT_EQ(read_late[i].arrival, expected[i].arrival);
    EXPECT_EQ(read_late[i].key, expected[i].key);
  }
}

TEST(SyntheticNetworkTest, LatenessIsTheGenerators) {
  SyntheticNetwork::Options options = AtRate(100'000);
  options.measure_from = After(absl::Milliseconds(100));
  SyntheticNetwork network(options);
  while (network.Notice(After(absl::Milliseconds(100)))) continue;
  EXPECT_EQ(network.lateness().count(), 0u);  // before measure_from
  // A generator that was away for 1 ms.
  network.Notice(After(absl::Milliseconds(101)));
  EXPECT_NEAR(static_cast<double>(network.lateness().count()), 100, 40);
  EXPECT_GT(network.lateness().max_ns(), 900'000u);
  EXPECT_LT(network.lateness().min_ns(), 100'000u);
  // Nothing is late that is noticed when it comes, whenever it is received.
  SyntheticNetwork prompt(options);
  for (int i = 0; i < 50'000; ++i) {
    if (prompt.NextArrival() > After(absl::Milliseconds(200))) break;
    prompt.Notice(prompt.NextArrival() + absl::Nanoseconds(1));
  }
  EXPECT_GT(prompt.lateness().count(), 9'000u);
  EXPECT_EQ(prompt.lateness().max_ns(), 1u);
}

TEST(SyntheticNetworkTest, NoneArrivesFromTheEndOn) {
  SyntheticNetwork::Options options = AtRate(100'000);
  options.end = After(absl::Milliseconds(10));
  SyntheticNetwork network(options);
  while (network.Notice(After(absl::Seconds(1)))) continue;
  EXPECT_EQ(network.NextArrival(), Time::Infinite());
  EXPECT_EQ(network.noticed_until(), options.end);
  const std::vector<Request> requests = ReceiveAll(network, After(absl::Seconds(1)));
  EXPECT_NEAR(static_cast<double>(requests.size()), 1000, 4 * std::sqrt(1000));
  EXPECT_LT(requests.back().arrival, options.end);
}

TEST(SyntheticNetworkTest, AllHasBeenNoticedUntilThen) {
  SyntheticNetwork network(AtRate(1000));
  EXPECT_EQ(network.noticed_until(), kStart);
  network.Notice(After(absl::Milliseconds(7)));
  EXPECT_EQ(network.noticed_until(), After(absl::Milliseconds(7)));
  // More than can be noticed at once.
  SyntheticNetwork fast(AtRate(1e9));
  fast.Notice(After(absl::Seconds(1)));
  EXPECT_LT(fast.noticed_until(), After(absl::Milliseconds(1)));
  EXPECT_EQ(fast.noticed_until(), fast.NextArrival());
}

}  // namespace
}  // namespace ghost
