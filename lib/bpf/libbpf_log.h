// LibbpfLog: what libbpf says while this object is there: warnings, with the verifier's log among them. It keeps that
// from stderr.
//
// What it is not: it does not know which of it matters; whoever loads programs does. libbpf has one print function for
// the process: one of these at a time, by one thread.
#ifndef GHOST_LIB_BPF_LIBBPF_LOG_H_
#define GHOST_LIB_BPF_LIBBPF_LOG_H_

#include <bpf/libbpf.h>

#include <string>

namespace ghost {

class LibbpfLog {
 public:
  LibbpfLog();
  ~LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;

  const std::string& text() const { return text_; }

 private:
  std::string text_;
  libbpf_print_fn_t previous_;
};

}  // namespace ghost

#endif  // GHOST_LIB_BPF_LIBBPF_LOG_H_
