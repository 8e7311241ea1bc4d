#include "kernel/usermode/linux/load_ban.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>

#include "third_party/bpf/load_ban.skel.h"

namespace ghost::usermode {

LoadBan::~LoadBan() {
  if (programs_ != nullptr) load_ban__destroy(programs_);
}

int LoadBan::Load() {
  struct stat own = {};
  if (stat("/proc/self/ns/pid", &own) != 0) return -errno;
  ::load_ban* programs = load_ban__open();
  if (programs == nullptr) return -errno;
  programs->rodata->namespace_dev = own.st_dev;
  programs->rodata->namespace_ino = own.st_ino;
  if (load_ban__load(programs) != 0 || load_ban__attach(programs) != 0) {
    const int error = -errno;
    load_ban__destroy(programs);
    return error < 0 ? error : -EINVAL;
  }
  programs_ = programs;
  return 0;
}

int LoadBan::Add(pid_t tgid) {
  if (programs_ == nullptr) {
    if (const int error = Load(); error != 0) return error;
  }
  const auto key = static_cast<uint32_t>(tgid);
  const uint8_t value = 1;
  return bpf_map__update_elem(programs_->maps.banned, &key, sizeof(key), &value, sizeof(value), BPF_ANY) == 0 ? 0
                                                                                                              : -errno;
}

}  // namespace ghost::usermode
