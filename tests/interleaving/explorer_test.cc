// The explorer finds what it must: textbook protocols, right and wrong.
#include "tests/interleaving/explorer.h"

#include <memory>

#include "gtest/gtest.h"
#include "tests/interleaving/shared_word_model.h"

namespace ghost::interleaving {
namespace {

struct Words {
  uint32_t x = 0;
  uint32_t y = 0;
  uint32_t data = 0;
  int out[2] = {-1, -1};
};

// Data, then a flag: the reader that sees the flag sees the data.
template <Order store, Order load>
Result Publish() {
  return Explore([] {
    auto words = std::make_shared<Words>();
    Story story{.owner = words};
    story.threads = {[words] {
                       PutShared(words->data, 7u);
                       StoreShared<store>(words->x, 1u);
                     },
                     [words] {
                       if (LoadShared<load>(words->x) == 0) return;
                       uint32_t data = 0;
                       ReadShared(&data, &words->data, sizeof(data));
                     }};
    story.end = [] { return std::string(); };
    return story;
  });
}

TEST(ExplorerTest, PublishingNeedsReleaseAndAcquire) {
  EXPECT_EQ((Publish<Order::kRelease, Order::kAcquire>().violation), "");
  EXPECT_NE((Publish<Order::kRelaxed, Order::kAcquire>().violation), "");
  EXPECT_NE((Publish<Order::kRelease, Order::kRelaxed>().violation), "");
}

// Store buffering: both may read the old value. Release and acquire do not forbid it.
TEST(ExplorerTest, StoresMayBeSeenLate) {
  const Result result = Explore([] {
    auto words = std::make_shared<Words>();
    Story story{.owner = words};
    story.threads = {[words] {
                       StoreShared<Order::kRelease>(words->x, 1u);
                       words->out[0] = static_cast<int>(LoadShared<Order::kAcquire>(words->y));
                     },
                     [words] {
                       StoreShared<Order::kRelease>(words->y, 1u);
                       words->out[1] = static_cast<int>(LoadShared<Order::kAcquire>(words->x));
                     }};
    story.end = [words] { return words->out[0] == 0 && words->out[1] == 0 ? "both are first" : ""; };
    return story;
  });
  EXPECT_NE(result.violation.find("both are first"), std::string::npos);
}

// One word is read in one order.
TEST(ExplorerTest, NoThreadSeesAWordGoBack) {
  const Result result = Explore([] {
    auto words = std::make_shared<Words>();
    Story story{.owner = words};
    story.threads = {[words] {
                       StoreShared<Order::kRelaxed>(words->x, 1u);
                       StoreShared<Order::kRelaxed>(words->x, 2u);
                     },
                     [words] {
                       words->out[0] = static_cast<int>(LoadShared<Order::kRelaxed>(words->x));
                       words->out[1] = static_cast<int>(LoadShared<Order::kRelaxed>(words->x));
                     }};
    story.end = [words] { return words->out[1] < words->out[0] ? "it goes back" : ""; };
    return story;
  });
  EXPECT_EQ(result.violation, "");
  EXPECT_GE(result.runs, 6u);
}

TEST(ExplorerTest, AnExchangeIsOneStep) {
  const auto count = [](Mutation mutation) {
    return Explore(
        [] {
          auto words = std::make_shared<Words>();
          Story story{.owner = words};
          const auto add = [words] {
            for (uint32_t expected = 0; !ExchangeShared(words->x, &expected, expected + 1);) continue;
          };
          story.threads = {add, add};
          story.end = [words] { return words->x == 2 ? "" : "one was lost"; };
          return story;
        },
        mutation);
  };
  EXPECT_EQ(count(Mutation::kNone).violation, "");
  EXPECT_NE(count(Mutation::kTornExchange).violation.find("one was lost"), std::string::npos);
}

TEST(ExplorerTest, ALockKeepsOthersOut) {
  const Result result = Explore([] {
    struct Locked {
      Lock lock;
      uint32_t data = 0;
    };
    auto locked = std::make_shared<Locked>();
    Story story{.owner = locked};
    const auto add = [locked] {
      locked->lock.Acquire();
      PutShared(locked->data, locked->data + 1);
      locked->lock.Release();
    };
    story.threads = {add, add, add};
    story.end = [locked] { return locked->data == 3 ? "" : "not 3"; };
    return story;
  });
  EXPECT_EQ(result.violation, "");
}

}  // namespace
}  // namespace ghost::interleaving
