// A compiled BPF object file inside a program, and for which kernels it is. bpf/bpf.bzl's ghost_bpf_objects makes them.
#ifndef GHOST_LIB_BPF_OBJECT_H_
#define GHOST_LIB_BPF_OBJECT_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace ghost {

struct BpfObjectFile {
  uint32_t abi = 0;        // the oldest version whose layouts it has
  bool user_mode = false;  // for ghostd, whatever its enclave's ABI is
  const unsigned char* data = nullptr;
  size_t size = 0;
};

// The one for an enclave of version `abi`: the newest that is not newer. Null: there is none.
inline const BpfObjectFile* ChooseBpfObject(std::span<const BpfObjectFile> files, uint32_t abi, bool user_mode) {
  const BpfObjectFile* chosen = nullptr;
  for (const BpfObjectFile& file : files) {
    if (file.user_mode != user_mode) continue;
    if (!user_mode && file.abi > abi) continue;
    if (chosen == nullptr || file.abi > chosen->abi) chosen = &file;
  }
  return chosen;
}

}  // namespace ghost

#endif  // GHOST_LIB_BPF_OBJECT_H_
