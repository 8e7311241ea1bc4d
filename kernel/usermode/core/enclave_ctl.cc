#include "kernel/usermode/core/enclave_ctl.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "kernel/usermode/core/kernel.h"
#include "kernel/usermode/core/text.h"

namespace ghost::usermode {

EnclaveCtl::EnclaveCtl(Kernel& kernel) : kernel_(kernel), state_(kernel.state) {}

int EnclaveCtl::WriteRoot(std::string_view text, const Caller& caller) {
  text = FirstLine(text);
  Enclaves::Config config{.uid = caller.uid()};
  uint32_t version = 0;
  Scanner scanner(text);
  if (!scanner.Word("create ").Unsigned(&config.id).Unsigned(&version).ok()) return -EINVAL;
  const auto& versions = state_.options.abi_versions;
  config.abi = FindAbi(version);
  if (config.abi == nullptr || std::find(versions.begin(), versions.end(), version) == versions.end()) return -ESRCH;
  if (int error = ParseOptions(scanner.rest(), &config); error != 0) return error;
  return kernel_.enclaves.Create(config);
}

int EnclaveCtl::ParseOptions(std::string_view text, Enclaves::Config* config) const {
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    if (text.empty()) return 0;
    const std::string_view word = text.substr(0, text.find_first_of(" \t"));
    text.remove_prefix(word.size());
    uint32_t gid = 0;
    Scanner named(word);
    if (named.Word("gid=").ok()) {
      if (!named.Unsigned(&gid).ok() || !named.rest().empty()) return -EINVAL;
      config->gid = gid;
    } else if (word == "ephemeral") {
      config->ephemeral = true;
    } else if (Scanner(word).Unsigned(&gid).ok()) {
      config->gid = gid;
    } else if (config->abi->named_create_options) {
      return -ENOENT;
    } else {
      return 0;
    }
  }
}

int EnclaveCtl::Write(Enclave& enclave, std::string_view text, Caller& caller) {
  text = FirstLine(text);
  if (text == "destroy") {
    kernel_.enclaves.RequestDestroy(enclave);
    return 0;
  }
  if (text == "disable my bpf_prog_load") {
    if (kernel_.state.bpf_loader != nullptr) kernel_.state.bpf_loader->ForbidLoading(caller);
    return 0;
  }
  if (text == "discover tasks") {
    kernel_.tasks.Discover(enclave);
    return 0;
  }
  uint32_t region = 0;
  int32_t node = 0;
  if (Scanner(text).Word("create sw_region ").Unsigned(&region).Signed(&node).ok()) {
    return kernel_.enclaves.CreateStatusWordRegion(enclave, region, node);
  }
  int32_t cpu = 0;
  int32_t fd = 0;
  Scanner become(text);
  become.Word("become agent ");
  if (enclave.abi->become_agent_takes_cpu) {
    if (become.Signed(&cpu).Signed(&fd).ok()) return kernel_.agents.Become(enclave, cpu, fd, caller);
  } else if (become.Signed(&fd).ok()) {
    return kernel_.agents.Become(enclave, caller.Cpu(), fd, caller);
  }
  state_.driver->Log("gf_ctl_write: bad cmd :" + std::string(text) + ":");
  return -EINVAL;
}

}  // namespace ghost::usermode
