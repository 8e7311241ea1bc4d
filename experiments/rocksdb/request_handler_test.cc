#include "experiments/rocksdb/request_handler.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/spin.h"

namespace ghost {
namespace {

class RequestHandlerTest : public testing::Test {
 protected:
  RequestHandlerTest() {
    directory_ = testing::TempDir() + "handler.XXXXXX";
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    database_ = std::make_unique<Database>(*Database::Open(directory_ + "/db", {.entries = 1000}));
  }
  ~RequestHandlerTest() override {
    database_.reset();
    std::filesystem::remove_all(directory_);
  }

  DatabaseHandler Handler(absl::Duration get_exponential_mean) const {
    return DatabaseHandler(database_.get(), {.get_duration = absl::Microseconds(50),
                                             .range_duration = absl::Milliseconds(5),
                                             .get_exponential_mean = get_exponential_mean,
                                             .range_size = 100});
  }
  // The CPU time that it takes.
  absl::Duration Cost(DatabaseHandler& handler, const Request& request) {
    const absl::Duration before = ThreadCpuTime();
    EXPECT_TRUE(handler.Handle(request, &scratch_));
    return ThreadCpuTime() - before;
  }

  std::string directory_;
  std::unique_ptr<Database> database_;
  RequestHandler::Scratch scratch_{1};
};

// The CPU time that it takes is a lower bound that holds always, and mostly all of it.
TEST_F(RequestHandlerTest, ARequestTakesItsServiceTime) {
  DatabaseHandler handler = Handler(absl::ZeroDuration());
  for (auto [kind, duration] :
       {std::pair{RequestKind::kGet, absl::Microseconds(50)}, std::pair{RequestKind::kRange, absl::Milliseconds(5)}}) {
    std::vector<absl::Duration> costs;
    for (uint32_t i = 0; i < 200; ++i) costs.push_back(Cost(handler, {.kind = kind, .key = i}));
    std::sort(costs.begin(), costs.end());
    EXPECT_GE(costs.front(), duration);
    EXPECT_LE(costs[costs.size() / 2], duration + absl::Microseconds(20));
  }
}

TEST_F(RequestHandlerTest, ItReadsTheDatabase) {
  DatabaseHandler handler = Handler(absl::ZeroDuration());
  EXPECT_TRUE(handler.Handle({.kind = RequestKind::kGet, .key = 7}, &scratch_));
  EXPECT_EQ(scratch_.value, Database::ValueOf(7));
  EXPECT_TRUE(handler.Handle({.kind = RequestKind::kRange, .key = 900}, &scratch_));
  EXPECT_EQ(scratch_.value.size(), 100 * Database::ValueOf(0).size());
  EXPECT_FALSE(handler.Handle({.kind = RequestKind::kGet, .key = 1000}, &scratch_));
  EXPECT_FALSE(handler.Handle({.kind = RequestKind::kRange, .key = 901}, &scratch_));
}

TEST_F(RequestHandlerTest, GetRequestsMayTakeExponentiallyLonger) {
  DatabaseHandler handler = Handler(absl::Microseconds(200));
  constexpr int kCount = 2000;
  absl::Duration sum, greatest;
  for (uint32_t i = 0; i < kCount; ++i) {
    const absl::Duration cost = Cost(handler, {.kind = RequestKind::kGet, .key = i % 1000});
    EXPECT_GE(cost, absl::Microseconds(50));
    sum += cost;
    greatest = std::max(greatest, cost);
  }
  EXPECT_NEAR(absl::ToDoubleMicroseconds(sum / kCount), 250, 30);
  EXPECT_GT(greatest, absl::Milliseconds(1));  // e^-5 of them are longer
}

}  // namespace
}  // namespace ghost
