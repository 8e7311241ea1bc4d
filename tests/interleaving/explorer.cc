#include "tests/interleaving/explorer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "kernel/usermode/sim/fiber.h"
#include "lib/base/logging.h"

namespace ghost::interleaving {
namespace {

constexpr int kSetup = 0;  // what happens before and after all threads
constexpr int kThreads = 4;
using Clock = std::array<uint32_t, kThreads>;  // how much of each thread's past is known

void Join(Clock& clock, const Clock& other) {
  for (int i = 0; i < kThreads; ++i) clock[i] = std::max(clock[i], other[i]);
}

class Run {
 public:
  Run(std::vector<std::pair<uint32_t, uint32_t>>* choices, Mutation mutation)
      : mutation_(mutation), choices_(choices) {}

  // All threads, to their end.
  void Go(const std::vector<std::function<void()>>& threads);
  void Violation(const std::string& what) {
    if (violation_.empty()) violation_ = what;
  }
  const std::string& violation() const { return violation_; }

  uint64_t Load(const void* word, size_t size, bool acquire);
  void Store(void* word, size_t size, uint64_t value, bool release);
  bool Exchange(void* word, size_t size, uint64_t* expected, uint64_t desired);
  void Plain(const void* address, size_t size, bool write);
  // Stops before an access, for another thread to go first.
  void Point() {
    if (current_ != kSetup) sim::Fiber::Suspend();
    ++clocks_[current_][current_];
  }
  void Wait(const bool* held) {
    waits_for_[current_] = held;
    sim::Fiber::Suspend();
    waits_for_[current_] = nullptr;
  }
  int current() const { return current_; }
  Clock& clock() { return clocks_[current_]; }

 private:
  struct Stored {
    uint64_t value = 0;
    int thread = kSetup;
    uint32_t when = 0;    // of the thread's clock
    Clock released = {};  // what who reads it with acquire knows
  };
  struct Word {
    std::vector<Stored> stores;
    std::array<size_t, kThreads> seen = {};  // no thread reads an older one than it has
  };
  struct Byte {
    int writer = kSetup;
    uint32_t written = 0;
    Clock reads = {};
  };

  Word& Find(const void* word, size_t size);
  uint32_t Choose(uint32_t alternatives);
  bool Known(int thread, uint32_t when) const { return when <= clocks_[current_][thread]; }

  const Mutation mutation_;
  std::vector<std::pair<uint32_t, uint32_t>>* const choices_;  // taken, of how many
  size_t next_choice_ = 0;
  std::string violation_;
  int current_ = kSetup;
  std::array<Clock, kThreads> clocks_ = {};
  std::array<const bool*, kThreads> waits_for_ = {};
  std::unordered_map<const void*, Word> words_;
  std::unordered_map<uintptr_t, Byte> bytes_;
};

Run* run = nullptr;

uint64_t Get(const void* word, size_t size) {
  uint64_t value = 0;
  std::memcpy(&value, word, size);
  return value;
}

uint32_t Run::Choose(uint32_t alternatives) {
  if (alternatives <= 1) return 0;
  if (next_choice_ == choices_->size()) choices_->emplace_back(0, alternatives);
  const auto& [taken, of] = (*choices_)[next_choice_++];
  GHOST_CHECK(of == alternatives) << "the story is not the same twice";
  return taken;
}

void Run::Go(const std::vector<std::function<void()>>& threads) {
  GHOST_CHECK(threads.size() < kThreads);
  std::vector<std::unique_ptr<sim::Fiber>> fibers;
  for (size_t i = 0; i < threads.size(); ++i) {
    fibers.push_back(std::make_unique<sim::Fiber>(threads[i]));
    clocks_[i + 1] = clocks_[kSetup];
  }
  for (;;) {
    std::vector<int> ready;
    bool all_over = true;
    for (size_t i = 0; i < fibers.size(); ++i) {
      if (fibers[i]->finished()) continue;
      all_over = false;
      if (waits_for_[i + 1] == nullptr || !*waits_for_[i + 1]) ready.push_back(static_cast<int>(i));
    }
    if (all_over) break;
    GHOST_CHECK(!ready.empty()) << "a story that waits for itself";
    const int next = ready[Choose(static_cast<uint32_t>(ready.size()))];
    current_ = next + 1;
    fibers[static_cast<size_t>(next)]->Resume();
    current_ = kSetup;
  }
  for (const Clock& clock : clocks_) Join(clocks_[kSetup], clock);
}

Run::Word& Run::Find(const void* word, size_t size) {
  auto [found, is_new] = words_.try_emplace(word);
  if (is_new) found->second.stores.push_back({.value = Get(word, size)});
  return found->second;
}

uint64_t Run::Load(const void* address, size_t size, bool acquire) {
  Point();
  Word& word = Find(address, size);
  size_t oldest = word.seen[static_cast<size_t>(current_)];
  for (size_t i = oldest; i < word.stores.size(); ++i) {
    if (Known(word.stores[i].thread, word.stores[i].when)) oldest = i;
  }
  const size_t newest = word.stores.size() - 1;
  const size_t taken = newest - Choose(static_cast<uint32_t>(newest - oldest + 1));
  word.seen[static_cast<size_t>(current_)] = taken;
  if (acquire && mutation_ != Mutation::kRelaxedLoads) Join(clock(), word.stores[taken].released);
  return word.stores[taken].value;
}

void Run::Store(void* address, size_t size, uint64_t value, bool release) {
  Point();
  Word& word = Find(address, size);
  Stored stored{.value = value, .thread = current_, .when = clock()[static_cast<size_t>(current_)]};
  if (release && mutation_ != Mutation::kRelaxedStores) stored.released = clock();
  word.stores.push_back(stored);
  word.seen[static_cast<size_t>(current_)] = word.stores.size() - 1;
  std::memcpy(address, &value, size);
}

bool Run::Exchange(void* address, size_t size, uint64_t* expected, uint64_t desired) {
  if (mutation_ == Mutation::kTornExchange) {
    const uint64_t value = Load(address, size, true);
    if (std::exchange(*expected, value) != value) return false;
    Store(address, size, desired, true);
    return true;
  }
  Point();
  Word& word = Find(address, size);
  const Stored last = word.stores.back();  // it takes part in the one order of the word's stores
  word.seen[static_cast<size_t>(current_)] = word.stores.size() - 1;
  Join(clock(), last.released);
  if (std::exchange(*expected, last.value) != last.value) return false;
  Stored stored{.value = desired, .thread = current_, .when = clock()[static_cast<size_t>(current_)]};
  stored.released = clock();
  word.stores.push_back(stored);
  word.seen[static_cast<size_t>(current_)] = word.stores.size() - 1;
  std::memcpy(address, &desired, size);
  return true;
}

void Run::Plain(const void* address, size_t size, bool write) {
  if (current_ == kSetup) return;
  ++clock()[static_cast<size_t>(current_)];
  const uint32_t now = clock()[static_cast<size_t>(current_)];
  for (size_t i = 0; i < size; ++i) {
    Byte& byte = bytes_[reinterpret_cast<uintptr_t>(address) + i];
    bool race = !Known(byte.writer, byte.written);
    for (int thread = 0; write && thread < kThreads; ++thread) {
      race |= thread != current_ && !Known(thread, byte.reads[static_cast<size_t>(thread)]);
    }
    if (race) Violation("two threads at the same data, at least one of them writing, and neither knows of the other");
    if (write) {
      byte.writer = current_;
      byte.written = now;
    } else {
      byte.reads[static_cast<size_t>(current_)] = now;
    }
  }
}

// The next path of the depth-first search; false: that was the last one.
bool Advance(std::vector<std::pair<uint32_t, uint32_t>>& choices) {
  while (!choices.empty() && choices.back().first + 1 == choices.back().second) choices.pop_back();
  if (choices.empty()) return false;
  ++choices.back().first;
  return true;
}

}  // namespace

Result Explore(const std::function<Story()>& make, Mutation mutation, uint64_t max_runs) {
  Result result;
  std::vector<std::pair<uint32_t, uint32_t>> choices;
  do {
    GHOST_CHECK(++result.runs <= max_runs) << "too much to explore";
    Run this_run(&choices, mutation);
    run = &this_run;
    {
      Story story = make();
      this_run.Go(story.threads);
      if (const std::string wrong = story.end(); !wrong.empty()) this_run.Violation(wrong);
    }
    run = nullptr;
    result.violation = this_run.violation();
    if (result.violation.empty()) continue;
    result.violation += "; choices";
    for (const auto& [taken, of] : choices) result.violation += " " + std::to_string(taken);
    return result;
  } while (Advance(choices));
  return result;
}

void Lock::Acquire() {
  run->Point();
  while (held_) run->Wait(&held_);
  held_ = true;
  Clock clock = {};
  if (!seen_.empty()) std::copy(seen_.begin(), seen_.end(), clock.begin());
  Join(run->clock(), clock);
}

void Lock::Release() {
  held_ = false;
  seen_.assign(run->clock().begin(), run->clock().end());
}

uint64_t Load(const void* word, size_t size, Ordering order) {
  return run == nullptr ? Get(word, size) : run->Load(word, size, order == Ordering::kAcquire);
}

void Store(void* word, size_t size, uint64_t value, Ordering order) {
  if (run == nullptr) {
    std::memcpy(word, &value, size);
  } else {
    run->Store(word, size, value, order == Ordering::kRelease);
  }
}

bool Exchange(void* word, size_t size, uint64_t* expected, uint64_t desired) {
  GHOST_CHECK(run != nullptr);
  return run->Exchange(word, size, expected, desired);
}

void PlainRead(const void* from, size_t size) {
  if (run != nullptr) run->Plain(from, size, /*write=*/false);
}

void PlainWrite(const void* to, size_t size) {
  if (run != nullptr) run->Plain(to, size, /*write=*/true);
}

}  // namespace ghost::interleaving
