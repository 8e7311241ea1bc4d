// BpfPrograms: an agent's BPF programs in the kernel: loaded, attached to its enclave, gone with it.
//
//     auto programs = BpfPrograms::Load("biff", BiffObjects(), enclave.directory(), enclave.abi());
//     biff* state = (*programs)->Global<biff>();   // the programs' global variable
//     (*programs)->Attach(absl::Seconds(10));      // waits for a departing agent's
//
// Load takes the object that fits the kernel: one of a ghost kernel's layouts, or the user-mode one, whose programs
// ghostd runs (docs/bpf.md). Programs stay attached until Detach, or the end of the process (of all its forks).
//
// What it is not: it knows nothing of what the programs do. Threads: one at a time; the memory of Global is shared with
// the programs.
#ifndef GHOST_LIB_BPF_PROGRAMS_H_
#define GHOST_LIB_BPF_PROGRAMS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "kernel/abi/abi_version.h"
#include "kernel/usermode/core/dialect.h"
#include "lib/base/file.h"
#include "lib/bpf/object.h"

struct bpf_object;   // libbpf
struct bpf_program;  // libbpf

namespace ghost {

class BpfPrograms {
 public:
  // `name` is for messages. `enclave`: its directory in ghostfs. On failure the verifier's log has gone to stderr, if
  // there was one.
  static absl::StatusOr<std::unique_ptr<BpfPrograms>> Load(absl::string_view name, std::span<const BpfObjectFile> files,
                                                           const std::string& enclave, const AbiVersion& abi);
  // The same for a kernel that is known to be of that kind, whether or not `enclave` is there. For tests.
  static absl::StatusOr<std::unique_ptr<BpfPrograms>> LoadFor(bool user_mode, absl::string_view name,
                                                              std::span<const BpfObjectFile> files,
                                                              const std::string& enclave, const AbiVersion& abi);
  ~BpfPrograms();  // detaches
  BpfPrograms(const BpfPrograms&) = delete;
  BpfPrograms& operator=(const BpfPrograms&) = delete;

  // The programs' one global variable, zeroed at first. Null: it is of another size.
  template <typename T>
  T* Global() {
    return static_cast<T*>(MapGlobals(sizeof(T)));
  }
  // A program's descriptor, by its function's name; or -1.
  int ProgramFd(const char* name) const;
  // What a user-mode kernel is given to run a program of these: its descriptor, and the maps'.
  ghostd_ioc_bpf_attach AttachRequest(int program_fd, uint32_t attach_type) const;

  // How long a departing agent's programs may take to go: its process has to end.
  static constexpr absl::Duration kOldProgramsTimeout = absl::Seconds(10);
  // Attaches all, or none. While another agent's programs are there it waits, up to `timeout`; the error says so then.
  absl::Status Attach(absl::Duration timeout = kOldProgramsTimeout);
  // Whether they are. Nothing happens if they are not.
  void Detach() { links_.clear(); }
  bool attached() const { return !links_.empty(); }

 private:
  struct Program {
    bpf_program* program = nullptr;
    uint32_t attach_type = 0;
  };

  BpfPrograms(absl::string_view name, const std::string& enclave, const AbiVersion& abi, bool user_mode)
      : name_(name), enclave_(enclave), abi_(abi), user_mode_(user_mode) {}
  absl::Status Open(const BpfObjectFile& file);
  // A map's descriptor, or -1.
  int MapFd(const char* name) const;
  absl::Status LoadError(int error, const std::string& log) const;
  // One program: its link, or -errno.
  int Link(const Program& program, ScopedFd* link) const;
  void* MapGlobals(size_t size);

  const std::string name_;
  const std::string enclave_;
  const AbiVersion& abi_;
  const bool user_mode_;
  bpf_object* object_ = nullptr;
  std::vector<Program> programs_;
  std::vector<ScopedFd> links_;
  Mapping globals_;
};

}  // namespace ghost

#endif  // GHOST_LIB_BPF_PROGRAMS_H_
