#!/bin/bash
# docs/conformance.md has the rules of today, and the simulation's results of today. (ghostd's results are those of the
# day when the page was written: its own tests say what they are now.)
set -euo pipefail
root=$TEST_SRCDIR/$TEST_WORKSPACE
"$root/tests/conformance/conformance" --kernel=sim --quiet --markdown="$TEST_TMPDIR/page.md"
# The page without its last column and its last notes, which are ghostd's.
sed -E -e '/^## Notes on ghostd/,$d' -e '/^\|/s/[^|]*\|$//' "$root/docs/conformance.md" >"$TEST_TMPDIR/docs.md"
# A blank line stands before the notes that were cut off.
if ! diff <(cat "$TEST_TMPDIR/page.md" && echo) "$TEST_TMPDIR/docs.md"; then
  echo "docs/conformance.md is out of date; hint: bazel-bin/tests/conformance/conformance --kernel sim,ghostd" \
    "--quiet --markdown docs/conformance.md" >&2
  exit 1
fi
