// Loads BPF objects, each as this kernel takes it, and lets them go again: one line for each, and the verifier's log of
// those that it refuses. Exit status 1: there was one.
//
//     load_objects [FOLDER]    all *.o there (third_party/bpf)
//
// Agents' objects for ghost kernels (NAME_objects_LAYOUT.o) are loaded in disguise (disguise.h), those for stock
// kernels as SYSCALL programs, all others as what their sections say. What hangs on a tracepoint that this kernel lacks
// is left out, and named; so are objects with programs that this kernel has no type for, or permits nobody.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/bpf/libbpf_log.h"
#include "lib/bpf/sections.h"
#include "tests/bpf/disguise.h"

namespace ghost {
namespace {

// The layout of a file's name: "…_objects_69.o" is 69. Nothing: it is for stock kernels.
std::optional<uint32_t> GhostLayout(const std::string& name) {
  const size_t at = name.find("_objects_");
  if (at == std::string::npos) return std::nullopt;
  const int layout = atoi(name.c_str() + at + strlen("_objects_"));
  return layout > 0 ? std::optional<uint32_t>(layout) : std::nullopt;
}

// The object that is being loaded, for libbpf's callback, and what must live as long as that takes.
struct Loading {
  std::optional<uint32_t> layout;
  std::string error;
  std::vector<int> contexts;
  std::vector<std::vector<char>> functions;
} loading;

// Just before libbpf hands a program of ours to the kernel.
int Prepare(bpf_program* program, bpf_prog_load_opts* options, long) {
  if (!loading.layout.has_value()) return 0;
  const uint32_t bytes = ContextBytes(bpf_program__section_name(program), *loading.layout);
  loading.contexts.push_back(bpf_map_create(BPF_MAP_TYPE_ARRAY, "context", 4, bytes, 1, nullptr));
  if (loading.contexts.back() < 0) return -errno;
  const bpf_insn* begin = bpf_program__insns(program);
  DisguisedCode disguised =
      Disguise(std::vector<bpf_insn>(begin, begin + bpf_program__insn_cnt(program)), loading.contexts.back());
  if (!disguised.error.empty()) {
    loading.error = disguised.error;
    return -EINVAL;
  }
  const auto* functions = static_cast<const char*>(options->func_info);
  std::vector<char>& moved = loading.functions.emplace_back(
      functions, functions + size_t{options->func_info_cnt} * options->func_info_rec_size);
  for (size_t i = 1; i < options->func_info_cnt; ++i) {  // the first stays at 0
    auto* info = reinterpret_cast<bpf_func_info*>(moved.data() + i * options->func_info_rec_size);
    info->insn_off = disguised.moved[info->insn_off];
  }
  options->func_info = moved.data();
  options->line_info = nullptr;
  options->line_info_cnt = 0;
  return bpf_program__set_insns(program, disguised.code.data(), disguised.code.size());
}

void RegisterSections() {
  LIBBPF_OPTS(libbpf_prog_handler_opts, options, .prog_prepare_load_fn = Prepare);
  for (const BpfSection& section : kBpfSections) {
    libbpf_register_prog_handler(section.name, BPF_PROG_TYPE_SCHED_CLS, static_cast<bpf_attach_type>(0), &options);
  }
}

bool HasSyscallPrograms() {
  static const bool has = libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SYSCALL, nullptr) == 1;
  return has;
}

bool HasTracepoint(const std::string& name) {
  static btf* kernel = btf__load_vmlinux_btf();
  return kernel == nullptr || btf__find_by_name_kind(kernel, ("btf_trace_" + name).c_str(), BTF_KIND_TYPEDEF) > 0;
}

// Sets a program's type. False: this kernel has not what it hangs on.
bool Prepared(bpf_program* program) {
  const std::string section = bpf_program__section_name(program);
  const std::string tracepoint = "tp_btf/";
  if (section.starts_with(tracepoint)) return HasTracepoint(section.substr(tracepoint.size()));
  if (loading.layout.has_value()) return true;
  const auto kind = KindOfBpfProgram(section, 91, /*user_mode=*/true);
  if (!kind.has_value()) return true;
  bpf_program__set_type(program, static_cast<bpf_prog_type>(kind->type));
  bpf_program__set_flags(program, kind->flags);
  return true;
}

enum class Outcome { kLoaded, kRefused, kNotForThisKernel };

Outcome Load(const std::filesystem::path& path) {
  loading = {.layout = GhostLayout(path.filename())};
  LibbpfLog log;
  bpf_object* object = bpf_object__open_file(path.c_str(), nullptr);
  int error = object == nullptr ? errno : 0;
  int programs = 0;
  const char* unfit = nullptr;  // why it is not for this kernel
  bool at_function = false;
  std::string without;
  if (object != nullptr) {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object) {
      ++programs;
      const bool prepared = Prepared(program);
      if (bpf_program__type(program) == BPF_PROG_TYPE_SYSCALL && !HasSyscallPrograms())
        unfit = "has no SYSCALL programs";
      at_function |= std::string_view(bpf_program__section_name(program)).starts_with("fmod_ret/");
      if (prepared) continue;
      bpf_program__set_autoload(program, false);
      without += std::string(" without ") + bpf_program__section_name(program);
    }
    if (unfit == nullptr && bpf_object__load(object) != 0) error = errno;
    // Some machines permit nobody, root neither, what could change a function's result.
    if (error == EPERM && at_function && geteuid() == 0) {
      unfit = "permits no programs at its functions";
      error = 0;
    }
    bpf_object__close(object);
  }
  for (int context : loading.contexts) close(context);
  if (programs == 0 && error == 0) error = ENOENT;
  const std::string verdict = unfit == nullptr ? "ok" : std::string("not for this kernel, which ") + unfit;
  printf("%-32s %d programs%s%s: %s\n", path.filename().c_str(), programs,
         loading.layout.has_value() ? " in disguise" : "", without.c_str(),
         error != 0 ? strerror(error) : verdict.c_str());
  if (error != 0) printf("%s%s\n", log.text().c_str(), loading.error.c_str());
  fflush(stdout);
  if (error != 0) return Outcome::kRefused;
  return unfit == nullptr ? Outcome::kLoaded : Outcome::kNotForThisKernel;
}

int Main(const std::filesystem::path& folder) {
  utsname kernel = {};
  uname(&kernel);
  printf("Linux %s\n", kernel.release);
  RegisterSections();
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".o") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  int count[3] = {};
  for (const auto& file : files) ++count[static_cast<size_t>(Load(file))];
  printf("%d objects loaded, %d refused, %d not for this kernel\n", count[0], count[1], count[2]);
  return count[0] > 0 && count[1] == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ghost

int main(int argc, char** argv) { return ghost::Main(argc > 1 ? argv[1] : "third_party/bpf"); }
