// Runs rules on a world.
#ifndef GHOST_TESTS_CONFORMANCE_RUNNER_H_
#define GHOST_TESTS_CONFORMANCE_RUNNER_H_

#include <functional>
#include <string>

#include "kernel/abi/abi_version.h"
#include "tests/conformance/report.h"
#include "tests/conformance/rule.h"
#include "tests/conformance/world.h"

namespace ghost::conformance {

// The rules whose name contains `filter`, in order; `seen` is told of each verdict at once. A story runs from its start
// to the last of its steps that is wanted.
Column RunRules(World& world, const AbiVersion& abi, const std::string& filter,
                const std::function<void(const Rule&, const Verdict&)>& seen);

}  // namespace ghost::conformance

#endif  // GHOST_TESTS_CONFORMANCE_RUNNER_H_
