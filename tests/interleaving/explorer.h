// All interleavings of a few threads that share words, within small bounds.
//
// The threads are fibers that stop before each access that goes through lib/base/shared_word.h; a depth-first search
// runs the story again and again until every order has been tried. It is more than taking turns: a load may give any
// value that C++'s memory order allows it (an older one, too, as long as nothing that happened before tells of the
// newer one), and two accesses to plain data of which neither happened before the other are a violation. So a release
// or an acquire that is missing is found, on any machine.
//
// What it is not: a model of sequentially consistent fences (the protocols have none), of spinning without end (a story
// must end), or of kernel code that is not here.
//
//     Result result = Explore([] { Story story; story.threads = {…}; story.end = …; return story; });
//     EXPECT_EQ(result.violation, "");
//
// Threads: one explorer at a time.
#ifndef GHOST_TESTS_INTERLEAVING_EXPLORER_H_
#define GHOST_TESTS_INTERLEAVING_EXPLORER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ghost::interleaving {

// What is broken on purpose, to see that it would be found.
enum class Mutation {
  kNone,
  kRelaxedStores,  // a store with release is relaxed
  kRelaxedLoads,   // a load with acquire is relaxed
  kTornExchange,   // compare-and-swap is a load, and a store if it was right
};

struct Story {
  std::vector<std::function<void()>> threads;  // at most 3
  std::function<std::string()> end;            // when all have returned: "" or what is wrong
  std::shared_ptr<void> owner;                 // what they share; made anew for each run
};

struct Result {
  uint64_t runs = 0;
  std::string violation;  // the first that was found, with the run's choices; empty: there is none
};

// Runs what `make` makes in every order, until the first violation. Panics if that takes more than `max_runs`.
Result Explore(const std::function<Story()>& make, Mutation mutation = Mutation::kNone, uint64_t max_runs = 2'000'000);

// For stories: a lock, as the one thread of ghostd's core is one. The next holder sees what the last one did.
class Lock {
 public:
  void Acquire();
  void Release();

 private:
  bool held_ = false;
  std::vector<uint32_t> seen_;
};

// For shared_word_model.h.
enum class Ordering { kRelaxed, kAcquire, kRelease };
uint64_t Load(const void* word, size_t size, Ordering order);
void Store(void* word, size_t size, uint64_t value, Ordering order);
bool Exchange(void* word, size_t size, uint64_t* expected, uint64_t desired);
void PlainRead(const void* from, size_t size);
void PlainWrite(const void* to, size_t size);

}  // namespace ghost::interleaving

#endif  // GHOST_TESTS_INTERLEAVING_EXPLORER_H_
