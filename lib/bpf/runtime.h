// BpfRuntime: the runtime of schedulers that live in BPF. Programs decide; agents only make the enclave a served one.
//
// A scheduler derives from it and says which programs it has and how they are set up. What is here: loading the objects
// before the old agent has left and attaching them after, and letting the programs start once all tasks are announced
// to them. What agents do is in programs_runtime.h.
//
// Threads: lib/runtime_base.h says it.
#ifndef GHOST_LIB_BPF_RUNTIME_H_
#define GHOST_LIB_BPF_RUNTIME_H_

#include <memory>
#include <span>
#include <string>

#include "lib/bpf/object.h"
#include "lib/bpf/programs.h"
#include "lib/bpf/programs_runtime.h"

namespace ghost {

class BpfRuntime : public ProgramsRuntime {
 public:
  // `name`: of the scheduler, for messages.
  BpfRuntime(Enclave* enclave, RuntimeOptions options, std::string name, std::span<const BpfObjectFile> objects);
  ~BpfRuntime() override;

  absl::Status Start() override;
  void Stop() override;

 protected:
  // The programs are loaded and not attached: sets their configuration. An error ends the start.
  virtual absl::Status Configure(BpfPrograms& programs) = 0;
  // All tasks have been announced to the programs: they may schedule from now on.
  virtual void StartScheduling() = 0;

  const std::string& name() const { return name_; }

 private:
  absl::Status LoadPrograms() override;
  absl::Status AttachPrograms() override;

  const std::string name_;
  const std::span<const BpfObjectFile> objects_;
  std::unique_ptr<BpfPrograms> programs_;
};

}  // namespace ghost

#endif  // GHOST_LIB_BPF_RUNTIME_H_
