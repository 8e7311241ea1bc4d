#!/bin/bash
# The client that docs/prio-table.md shows: it is what the page says, and it works, also where no scheduler reads it.
. tests/e2e/lib.sh

t_begin "it ends, without a scheduler"
said=$(timeout 60 tests/hints_client) || t_fail "exit status $?: $said"
[ "$said" = "1000 pieces of work are done" ] || t_fail "$said"
t_pass

t_begin "the page shows it as it is"
# The page's first C++ block is the file from main on.
sed -n '/^```c++$/,/^```$/p;/^```$/q' docs/prio-table.md | sed '1d;$d' >"$TEST_TMPDIR/page"
sed -n '/^int main() {$/,$p' tests/hints_client.cc >"$TEST_TMPDIR/file"
[ -s "$TEST_TMPDIR/page" ] || t_fail "no C++ in the page"
diff "$TEST_TMPDIR/page" "$TEST_TMPDIR/file" || t_fail
t_pass
