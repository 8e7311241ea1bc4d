#include "lib/base/testing/allocation_counter.h"

#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace ghost {
namespace {

// No constructors: malloc runs before and after everything else in a thread.
constinit thread_local int64_t total_count = 0;
constinit thread_local int64_t total_bytes = 0;

void Count(size_t size) {
  ++total_count;
  total_bytes += static_cast<int64_t>(size);
}

}  // namespace

int64_t AllocationCounter::TotalCount() { return total_count; }
int64_t AllocationCounter::TotalBytes() { return total_bytes; }

}  // namespace ghost

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

// The sanitizers' runtime calls this for each allocation, if it is there.
extern "C" void __sanitizer_malloc_hook(const volatile void*, size_t size) { ghost::Count(size); }
extern "C" void __sanitizer_free_hook(const volatile void*) {}

#else

// glibc's own functions under the names that it keeps for such replacements.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  ghost::Count(size);
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  ghost::Count(count * size);
  return __libc_calloc(count, size);
}

void* realloc(void* memory, size_t size) {
  ghost::Count(size);
  return __libc_realloc(memory, size);
}

void* memalign(size_t alignment, size_t size) {
  ghost::Count(size);
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  ghost::Count(size);
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** memory, size_t alignment, size_t size) {
  if (alignment < sizeof(void*) || (alignment & (alignment - 1)) != 0) return EINVAL;
  ghost::Count(size);
  void* result = __libc_memalign(alignment, size);
  if (result == nullptr) return ENOMEM;
  *memory = result;
  return 0;
}
}

#endif
