#include "schedulers/biff/slice_flag.h"

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

ABSL_FLAG(absl::Duration, slice, absl::Milliseconds(50),
          "How long a thread runs while others wait, such as 50ms, and on to the next tick.");

namespace ghost {

absl::Status CheckSliceFlag() {
  const absl::Duration slice = absl::GetFlag(FLAGS_slice);
  if (slice > absl::ZeroDuration()) return absl::OkStatus();
  return WithHint(absl::InvalidArgumentError(absl::StrCat("--slice ", absl::FormatDuration(slice), ": not a time")),
                  "give a duration, such as 50ms, or inf");
}

}  // namespace ghost
