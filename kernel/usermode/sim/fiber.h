// A fiber: code with a stack of its own that takes turns with whoever resumes it, all on one thread.
//
// The simulation runs an agent as one, so that a runtime that is written to sleep in a system call can be stopped in
// the middle of it, while virtual time passes. Works under AddressSanitizer and ThreadSanitizer, which are told of each
// switch. A fiber that is dropped in the middle is unwound: its Suspend throws Cancelled, which no code but this may
// catch (the project's only exception). Threads: one.
#ifndef GHOST_KERNEL_USERMODE_SIM_FIBER_H_
#define GHOST_KERNEL_USERMODE_SIM_FIBER_H_

#include <cstddef>
#include <functional>
#include <memory>

namespace ghost::sim {

class Fiber {
 public:
  explicit Fiber(std::function<void()> body);
  ~Fiber();  // cancels
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs the body from where it was until it suspends or returns. Not from inside of a fiber.
  void Resume();
  // Unwinds the body, if it has been started and has not returned.
  void Cancel();
  bool finished() const;
  bool cancelled() const;

  // Inside of a fiber: back to whoever resumed it. Once it is being cancelled, it returns at once.
  static void Suspend();
  // The fiber that executes; null outside of all.
  static Fiber* Current();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ghost::sim

#endif  // GHOST_KERNEL_USERMODE_SIM_FIBER_H_
