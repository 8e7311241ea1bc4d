#include "lib/bpf/libbpf_log.h"

#include <cstdarg>
#include <cstdio>

namespace ghost {
namespace {

std::string* g_text = nullptr;

// A verifier's log comes in one piece, and is as long as it likes.
int Collect(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (g_text == nullptr || level == LIBBPF_DEBUG) return 0;
  va_list again;
  va_copy(again, arguments);
  const int size = vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (size <= 0) return 0;
  const size_t start = g_text->size();
  g_text->resize(start + static_cast<size_t>(size) + 1);
  vsnprintf(g_text->data() + start, static_cast<size_t>(size) + 1, format, arguments);
  g_text->resize(start + static_cast<size_t>(size));
  return size;
}

}  // namespace

LibbpfLog::LibbpfLog() {
  g_text = &text_;
  previous_ = libbpf_set_print(Collect);
}

LibbpfLog::~LibbpfLog() {
  libbpf_set_print(previous_);
  g_text = nullptr;
}

}  // namespace ghost
