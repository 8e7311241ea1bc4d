#include "kernel/usermode/core/enclaves.h"

#include <algorithm>
#include <cerrno>

#include "kernel/usermode/core/kernel.h"

namespace ghost::usermode {

Enclaves::Enclaves(Kernel& kernel) : kernel_(kernel), state_(kernel.state) {}

Enclave* Enclaves::FindEnclave(uint64_t id) {
  for (auto& enclave : state_.enclaves) {
    if (enclave->id == id && !enclave->dying) return enclave.get();
  }
  return nullptr;
}

int Enclaves::Create(const Config& config) {
  if (FindEnclave(config.id) != nullptr) return -EEXIST;
  if (state_.enclaves.size() >= static_cast<size_t>(state_.options.max_enclaves)) return -ENOMEM;
  auto owned = std::make_unique<Enclave>();
  Enclave& enclave = *owned;
  enclave.id = config.id;
  enclave.abi = config.abi;
  enclave.uid = config.uid;
  enclave.gid = config.gid;
  enclave.ephemeral = config.ephemeral;
  std::optional<Region> cpu_data =
      state_.driver->AllocateRegion(enclave.name() + "/cpu_data", state_.cpus.size() * sizeof(ghost_cpu_data));
  if (!cpu_data.has_value()) return -ENOMEM;
  enclave.cpu_data = *cpu_data;
  state_.enclaves.push_back(std::move(owned));
  kernel_.files.AddEnclave(enclave);
  return 0;
}

int Enclaves::SetCpus(Enclave& enclave, const CpuSet& cpus) {
  if (enclave.dying) return -EXDEV;
  const CpuSet removed = enclave.cpus - cpus;
  const CpuSet added = cpus - enclave.cpus;
  for (int cpu : removed) {
    if (state_.cpus[static_cast<size_t>(cpu)].agent != nullptr) return -EEXIST;
  }
  for (int cpu : added) {
    if (!state_.OnlineCpu(cpu)) return -ENODEV;
  }
  for (int cpu : added) {
    if (state_.cpus[static_cast<size_t>(cpu)].enclave != nullptr) return -EBUSY;
  }
  for (int cpu : removed) RemoveCpu(state_.cpus[static_cast<size_t>(cpu)]);
  for (int id : added) {
    Cpu& cpu = state_.cpus[static_cast<size_t>(id)];
    cpu.enclave = &enclave;
    cpu.txn = &static_cast<ghost_cpu_data*>(enclave.cpu_data.address)[id].txn;
    kernel_.committer.Reset(cpu);
    enclave.cpus.Add(id);
  }
  kernel_.programs.CpusChanged(enclave);
  return 0;
}

void Enclaves::RemoveCpu(Cpu& cpu) {
  kernel_.programs.StopPolling(cpu);
  cpu.enclave->cpus.Remove(cpu.id);
  cpu.enclave = nullptr;
  cpu.txn = nullptr;
}

int Enclaves::CreateStatusWordRegion(Enclave& enclave, uint32_t id, int32_t node) {
  if (node < 0 || node >= state_.options.num_nodes) return -ENODEV;
  if (enclave.words.HasRegion(id)) return -EEXIST;
  size_t regions = 0;
  for (const auto& other : state_.enclaves) regions += other->words.regions().size();
  if (regions >= static_cast<size_t>(state_.options.max_status_word_regions)) return -ENOMEM;
  const std::string name = "sw_" + std::to_string(id);
  std::optional<Region> region =
      state_.driver->AllocateRegion(enclave.name() + "/sw_regions/" + name, StatusWordRegion::kSize);
  if (!region.has_value()) return -ENOMEM;
  enclave.words.AddRegion(*region, id, static_cast<uint32_t>(node));
  kernel_.files.AddRegion(enclave, enclave.sw_regions_node, name, 0440, enclave.uid, *region);
  return 0;
}

void Enclaves::RequestDestroy(Enclave& enclave) {
  if (enclave.dying || std::find(to_destroy_.begin(), to_destroy_.end(), &enclave) != to_destroy_.end()) return;
  kernel_.tree.Remove(enclave.ctl_node);
  to_destroy_.push_back(&enclave);
}

void Enclaves::FinishDestroys() {
  for (size_t i = 0; i < to_destroy_.size(); ++i) Destroy(*to_destroy_[i]);
  to_destroy_.clear();
  if (!garbage_) return;
  garbage_ = false;
  for (size_t i = state_.enclaves.size(); i-- > 0;) {
    Enclave& enclave = *state_.enclaves[i];
    if (!enclave.dying || enclave.num_members > 0 || enclave.num_agents > 0) continue;
    Free(enclave);
    state_.enclaves.erase(state_.enclaves.begin() + static_cast<ptrdiff_t>(i));
  }
}

void Enclaves::Destroy(Enclave& enclave) {
  enclave.dying = true;
  for (int id : enclave.cpus) {
    Cpu& cpu = state_.cpus[static_cast<size_t>(id)];
    if (cpu.agent == nullptr) {
      RemoveCpu(cpu);
    } else {
      state_.driver->KillAgent(cpu.agent->tid);  // its end removes the CPU
    }
  }
  kernel_.tasks.Reap(enclave);
  kernel_.tree.Remove(enclave.directory);
  kernel_.scheduler.Settle();
  Released(enclave);
}

void Enclaves::Released(Enclave& enclave) {
  if (enclave.dying) {
    garbage_ = garbage_ || (enclave.num_members == 0 && enclave.num_agents == 0);
  } else if (enclave.ephemeral && enclave.had_agent && enclave.num_agents == 0 && enclave.ctl_writers == 0) {
    RequestDestroy(enclave);
  }
}

void Enclaves::Free(Enclave& enclave) {
  // The words that gate their threads go with the regions.
  std::vector<Identity*> gated;
  state_.identities.ForEach([&](Identity* identity) {
    if (identity->inhibited_by == &enclave) gated.push_back(identity);
  });
  for (Identity* identity : gated) kernel_.tasks.Uninhibit(*identity);
  kernel_.programs.DetachAll(enclave);
  kernel_.queues.DropAll(enclave);
  for (const auto& region : enclave.words.regions()) state_.driver->FreeRegion(region->region_id());
  state_.driver->FreeRegion(enclave.cpu_data.id);
}

}  // namespace ghost::usermode
