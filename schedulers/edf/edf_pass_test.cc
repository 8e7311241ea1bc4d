// A schedule pass of this policy allocates nothing, and asks the kernel for nothing but one commit for all CPUs.
#include "gtest/gtest.h"
#include "lib/testing/hinted_pass_test.h"
#include "schedulers/edf/edf_policy.h"

namespace ghost {

INSTANTIATE_TYPED_TEST_SUITE_P(Edf, HintedPassTest, EdfPolicy);

}  // namespace ghost
