#include "kernel/usermode/sim/fiber.h"

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <utility>

#include "lib/base/logging.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

// For functions in which ThreadSanitizer changes fibers: it would take their end off the other fiber's stack of calls.
#if defined(__SANITIZE_THREAD__)
#define GHOST_CHANGES_FIBERS __attribute__((no_sanitize("thread")))
#else
#define GHOST_CHANGES_FIBERS
#endif

namespace ghost::sim {
namespace {

// Of a sanitizer's unoptimised code, too. Pages that are not touched cost nothing.
constexpr size_t kStackSize = size_t{256} << 10;

struct Cancelled {};

class Stacks {
 public:
  boost::context::stack_context allocate() { return stacks_.allocate(); }
  void deallocate(boost::context::stack_context& stack) {
#if defined(__SANITIZE_ADDRESS__)
    // Whoever maps these pages next must not find the red zones of frames that were here.
    ASAN_UNPOISON_MEMORY_REGION(static_cast<std::byte*>(stack.sp) - stack.size, stack.size);
#endif
    stacks_.deallocate(stack);
  }

 private:
  boost::context::protected_fixedsize_stack stacks_{kStackSize};
};

thread_local Fiber* current = nullptr;

}  // namespace

struct Fiber::Impl {
  std::function<void()> body;
  boost::context::fiber context;  // of the fiber while it is suspended, of its resumer while it runs
  boost::context::stack_context stack;
  bool started = false;
  bool finished = false;
  bool cancelled = false;
  bool unwinding = false;
#if defined(__SANITIZE_ADDRESS__)
  void* own_fake_stack = nullptr;
  const void* resumer_bottom = nullptr;
  size_t resumer_size = 0;
#endif
#if defined(__SANITIZE_THREAD__)
  void* own_tsan = __tsan_create_fiber(0);
  void* resumer_tsan = nullptr;
#endif

  // Each is called by the side that it names, right before it leaves or right after it has arrived.
  GHOST_CHANGES_FIBERS void ResumerLeaves(void** fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(fake_stack, static_cast<std::byte*>(stack.sp) - stack.size, stack.size);
#endif
#if defined(__SANITIZE_THREAD__)
    resumer_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(own_tsan, 0);
#endif
    (void)fake_stack;
  }
  void ResumerIsBack(void* fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
    (void)fake_stack;
  }
  void FiberArrives() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(own_fake_stack, &resumer_bottom, &resumer_size);
#endif
  }
  GHOST_CHANGES_FIBERS void FiberLeaves(bool for_ever) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_ever ? nullptr : &own_fake_stack, resumer_bottom, resumer_size);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(resumer_tsan, 0);
#endif
    (void)for_ever;
  }

  boost::context::fiber Main(boost::context::fiber&& resumer) {
    context = std::move(resumer);
    FiberArrives();
    try {
      body();
    } catch (const Cancelled&) {
    }
    finished = true;
    FiberLeaves(/*for_ever=*/true);
#if defined(__SANITIZE_THREAD__)
    // A return would be taken off the resumer's stack of calls, with those of all that has called this.
    (void)std::move(context).resume();
#endif
    return std::move(context);
  }
};

Fiber::Fiber(std::function<void()> body) : impl_(std::make_unique<Impl>()) { impl_->body = std::move(body); }

Fiber::~Fiber() {
  Cancel();
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(impl_->own_tsan);
#endif
}

bool Fiber::finished() const { return impl_->finished; }
bool Fiber::cancelled() const { return impl_->cancelled; }
Fiber* Fiber::Current() { return current; }

void Fiber::Resume() {
  Impl& impl = *impl_;
  GHOST_CHECK(current == nullptr && !impl.finished);
  if (!std::exchange(impl.started, true)) {
    Stacks stacks;
    impl.stack = stacks.allocate();
    impl.context = boost::context::fiber(
        std::allocator_arg, boost::context::preallocated(impl.stack.sp, impl.stack.size, impl.stack), stacks,
        [&impl](boost::context::fiber&& resumer) { return impl.Main(std::move(resumer)); });
  }
  void* fake_stack = nullptr;
  current = this;
  impl.ResumerLeaves(&fake_stack);
  boost::context::fiber suspended = std::move(impl.context).resume();
  impl.ResumerIsBack(fake_stack);
  current = nullptr;
#if defined(__SANITIZE_THREAD__)
  if (impl.finished) {
    new boost::context::fiber(std::move(suspended));  // leaked: its end would resume it
    Stacks().deallocate(impl.stack);
    return;
  }
#endif
  // Empty, and its stack freed, once it has finished.
  impl.context = std::move(suspended);
}

void Fiber::Suspend() {
  Impl& impl = *current->impl_;
  if (impl.unwinding) return;
  impl.FiberLeaves(/*for_ever=*/false);
  boost::context::fiber resumer = std::move(impl.context).resume();
  impl.FiberArrives();
  impl.context = std::move(resumer);
  if (!impl.cancelled) return;
  impl.unwinding = true;
  throw Cancelled();
}

void Fiber::Cancel() {
  Impl& impl = *impl_;
  impl.cancelled = true;
  if (!impl.started || impl.finished) return;
  Resume();
  GHOST_CHECK(impl.finished) << "a fiber that is cancelled went on";
}

}  // namespace ghost::sim
