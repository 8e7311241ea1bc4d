// Writes noise all over the mappable BPF maps of a running agent, as any process of root's can: its programs' state,
// and the view and the effects that they share with ghostd.
//
//     hostile_maps PID SECONDS
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/hostile/noise.h"

namespace {

std::set<uint32_t> MapsOf(const std::string& pid) {
  std::set<uint32_t> ids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + pid + "/fdinfo")) {
    std::ifstream file(entry.path());
    std::string word;
    for (uint32_t id = 0; file >> word;) {
      if (word == "map_id:" && file >> id) ids.insert(id);
    }
  }
  return ids;
}

struct Memory {
  uint64_t* words;
  size_t count;
};

std::vector<Memory> MapAll(const std::set<uint32_t>& ids) {
  std::vector<Memory> all;
  for (uint32_t id : ids) {
    const int fd = bpf_map_get_fd_by_id(id);
    bpf_map_info info = {};
    __u32 size = sizeof(info);
    if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) != 0 || (info.map_flags & BPF_F_MMAPABLE) == 0) continue;
    const size_t bytes = size_t{info.max_entries} * ((info.value_size + 7) / 8 * 8);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) continue;
    printf("%s: %zu bytes\n", info.name, bytes);
    all.push_back({static_cast<uint64_t*>(memory), bytes / 8});
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::vector<Memory> all = MapAll(MapsOf(argv[1]));
  const time_t end = time(nullptr) + atoi(argv[2]);
  ghost::hostile::Noise next(1);
  for (uint64_t i = 0; !all.empty() && (i % 4096 != 0 || time(nullptr) < end); ++i) {
    const uint64_t noise = next();
    const Memory& memory = all[i % all.size()];
    // The beginnings, where counts and heads stand, more often than the rest.
    const size_t at =
        noise % 4 == 0 ? (noise >> 8) % memory.count : (noise >> 8) % (memory.count < 64 ? memory.count : 64);
    __atomic_store_n(&memory.words[at], noise % 8 == 1 ? noise >> 40 : noise, __ATOMIC_RELAXED);
  }
  printf("wrote into %zu maps\n", all.size());
  return all.size() < 4 ? 1 : 0;
}
